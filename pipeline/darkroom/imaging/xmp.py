"""An XMP packet that discloses how a picture came about, by IPTC's vocabulary."""

from __future__ import annotations

from typing import Literal

SourceType = Literal["compositeWithTrainedAlgorithmicMedia", "humanEdits"]
"""Terms of https://cv.iptc.org/newscodes/digitalsourcetype/: a photo of which a part was made by a generative model
("such as with inpainting or outpainting operations"), and a photo edited with other tools.
"""

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"  # the terms' URIs begin so, with http

# IPTC Photo Metadata Standard, "Digital Source Type": https://iptc.org/std/photometadata/specification/
_PACKET = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <Iptc4xmpExt:DigitalSourceType>{uri}</Iptc4xmpExt:DigitalSourceType>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def source_type_packet(source_type: SourceType) -> bytes:
    """The XMP packet for a source type, in UTF-8."""
    return _PACKET.format(uri=VOCABULARY + source_type).encode()
