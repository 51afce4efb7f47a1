# Net::UPnP on the LAN host (old Perl programs): HTTP/1.0, arguments in random order, answers read with patterns.
#
#     perl gateway.pl ADDRESS PORT   # a line on standard input deletes the port again
#
# Prints what each call returned, a word and a value a line.
use strict;
use warnings;
use Net::UPnP::ControlPoint;
use Net::UPnP::GW::Gateway;

$| = 1;
my ($address, $port) = @ARGV;
my %port = (NewRemoteHost => '', NewExternalPort => $port, NewProtocol => 'TCP');
my ($device) = Net::UPnP::ControlPoint->new()->search(st => 'upnp:rootdevice', mx => 1);
my $gateway = Net::UPnP::GW::Gateway->new();
$gateway->setdevice($device);
print "address ", $gateway->getexternalipaddress(), "\n";
print "added ", $gateway->addportmapping(%port, NewInternalPort => 8000, NewInternalClient => $address,
    NewEnabled => 1, NewPortMappingDescription => 'Perl', NewLeaseDuration => 600), "\n";
print "count ", $gateway->getportmappingnumberofentries(), "\n";
foreach my $entry ($gateway->getportmappingentry()) {
    print "entry ", join(' ', map { "$_=$entry->{$_}" } sort keys %$entry), "\n";
}
<STDIN>;
print "deleted ", $gateway->deleteportmapping(%port), "\n";
