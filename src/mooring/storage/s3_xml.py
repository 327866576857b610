"""S3's XML, read and written with the standard library. What comes is believed no more than it must be: no
document of S3 declares a type, so one that does (entities come in that way) is refused."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from mooring.errors import StorageUnavailable

SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
ElementTree.register_namespace("", SPACE)


def read(document: bytes) -> Element:
    """Its tags come without their namespace: some storages have one, some have none."""
    document = document.strip()  # Swift sends blanks while it joins parts
    if b"<!" in document:
        raise StorageUnavailable(f"XML with a declaration or comment: {document[:200]!r}")
    try:
        root = ElementTree.fromstring(document)  # noqa: S314  declarations are refused above
    except (ElementTree.ParseError, ValueError) as problem:
        raise StorageUnavailable(f"not XML ({problem}): {document[:200]!r}") from problem
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def text(element: Element, name: str) -> str:
    found = element.findtext(name)
    if found is None:
        raise StorageUnavailable(f"<{element.tag}> without <{name}>")
    return found


def error_code(document: bytes) -> str:
    """The code of S3's error, or what came instead."""
    try:
        root = read(document)
    except StorageUnavailable:
        return ""
    return root.findtext("Code") or "" if root.tag == "Error" else ""


def new(tag: str, *children: tuple[str, object] | Element) -> Element:
    """An element and, below it, elements or pairs of a name and a text."""
    root = Element(tag)
    for child in children:
        if isinstance(child, Element):
            root.append(child)
            continue
        name, value = child
        SubElement(root, name).text = str(value)
    return root


def write(root: Element) -> bytes:
    for element in root.iter():
        element.tag = f"{{{SPACE}}}{element.tag}"
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
