"""miniigd.firewall.nft_template: everything that differs from mapping to mapping is patched, and nothing else."""

import struct

from miniigd.addresses import ip4_bytes
from miniigd.firewall.nft_template import IN_KERNEL, MODEL_SECONDS, Template, model_mapping
from miniigd.mapping import PortMapping


def _batch(mapping, seconds):
    """A batch as far as a template is concerned: what it holds, some of it twice."""
    return bytearray(b"begin" + struct.pack(">H", mapping.external_port) + (mapping.handle or IN_KERNEL) + ip4_bytes(
        mapping.internal_client) + struct.pack(">HQ", mapping.internal_port, seconds * 1000) + struct.pack(
        ">H", mapping.external_port) + ip4_bytes(mapping.internal_client) + b"end")


def test_a_patched_batch_is_the_one_that_would_have_been_built():
    for protocol in ("TCP", "UDP"):
        model = model_mapping(protocol)
        assert model.protocol == protocol
        template = Template(_batch(model, MODEL_SECONDS), model)
        for port, client, handle in ((8000, "192.168.1.2", b"12345678"), (65535, "10.0.0.9", None), (1024, "0.0.0.1", None)):
            mapping = PortMapping("", port, protocol, port - 1, client, True, "", 0, 0)
            mapping.handle = handle
            assert template.patch(mapping, port) == _batch(mapping, port)
