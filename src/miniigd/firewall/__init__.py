"""The firewall as a projection of the tables of mappings and pinholes: one interface, several back ends.

    open(wan)                            make sure that mappings can be made; `wan` gives the interface's index
    prepare()                            do what the first mapping would have to wait for; nothing changes
    basis()                              what the rules are made from besides the mappings: when that is another, a
                                         sync is needed
    add(mapping, replaced, seconds,      open for so long, in the place of `replaced` (a PortMapping or None), else in
        before)                          front of `before`, else behind all others; where the kernel can, it closes it
                                         by itself at most two seconds after that time
    remove(mappings)                     close these, in one change where the kernel takes so many at once
    remove_ended(mappings)               close these, whose time is up: the kernel may have been first with some
    add_pinhole(pinhole, seconds,        let IPv6 packets in through a pinhole.Pinhole for so long, as `add`; renewed:
        is_renewed)                      it is open already
    remove_pinholes(pinholes)            close these, as `remove`
    remove_ended_pinholes(pinholes)      close these, as `remove_ended`
    sync(mappings, now, pinholes)        hold exactly these, in this order, whatever was there before
    close()                              remove everything
    is_intact(mappings, pinholes)        False when somebody else changed what is in the kernel for these
    counters(mappings)                   [(packets, bytes) that came in for the first time through each]
    pinhole_counters(pinholes)           [(packets, bytes)] in the same way
    pinhole_refusal                      why no pinhole can be opened here, in words; "" where they can
    most_pinholes                        that it can hold
    name                                 what people call it
    is_polled                            True where nobody tells of such changes, so that one has to look
    most_mappings                        that it can hold

Each raises FirewallError when the kernel did not do it; then nothing has changed (a sync may have done a part: it is
to be called again). A back end decides nothing.
A mapping is let through FORWARD (and translated in PREROUTING); INPUT is never touched.
"""
