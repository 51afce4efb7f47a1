"""The batches for plain mappings, built once and patched from then on: see nft.py, which takes longer to build one.

    template = Template(batch for model_mapping("TCP") and MODEL_SECONDS, the same mapping)
    data = template.patch(mapping, seconds)
"""

import struct

from ..addresses import ip4_bytes
from ..compat import const
from ..mapping import PortMapping

MODEL_SECONDS = const(305419)  # the lease that a template is built with
IN_KERNEL = bytes(8)  # the handle of a mapping that has no rule of its own


def model_mapping(protocol):
    """Return the mapping that a template is built for: its values stand nowhere else in a batch."""
    model = PortMapping("", 0xA1A2, protocol, 0xB1B2, "201.202.203.204", True, "", 0, 0)
    model.handle = b"\xc1\xc2\xc3\xc4\xc5\xc6\xc7\xc8"
    return model


class Template:
    """A finished batch, and the offsets in it of everything that differs from mapping to mapping."""

    def __init__(self, data, model):
        self._data = data
        self._external_port = _offsets(data, struct.pack(">H", model.external_port))
        self._internal_port = _offsets(data, struct.pack(">H", model.internal_port))
        self._internal_client = _offsets(data, ip4_bytes(model.internal_client))
        self._handle = _offsets(data, model.handle)
        self._timeout = _offsets(data, struct.pack(">Q", MODEL_SECONDS * 1000))

    def patch(self, mapping, seconds):
        """Return the batch (the template's own buffer) for `mapping`."""
        data = self._data
        for offset in self._external_port:
            struct.pack_into(">H", data, offset, mapping.external_port)
        for offset in self._internal_port:
            struct.pack_into(">H", data, offset, mapping.internal_port)
        client = ip4_bytes(mapping.internal_client)
        for offset in self._internal_client:
            data[offset:offset + 4] = client
        for offset in self._handle:
            data[offset:offset + 8] = mapping.handle or IN_KERNEL
        for offset in self._timeout:
            struct.pack_into(">Q", data, offset, seconds * 1000)
        return data


def _offsets(data, value):
    """Return every offset at which `value` stands in `data`."""
    found = []
    offset = data.find(value)
    while offset >= 0:
        found.append(offset)
        offset = data.find(value, offset + 1)
    return found
