"""Photos that reach the network without another surface, and upload libraries."""

from __future__ import annotations

from .surfaces_base import Surface
from .user_actions import Action, drop, pick, press

GO = "<button id=go></button>"


def network(name: str, how: str, named: bool = False, body: str = GO) -> Surface:
    script = f"find('#go').onclick = async () => {{ const photo = given(); {how} }};"
    return Surface(f"network-{name}", body, script, press(), named=named, given=True)


FORM_DATA = "const form = new FormData(); form.append('photos', photo, 'face.png');"
NETWORK = [
    network("fetch-blob", "fetch(up, { method: 'POST', body: photo });"),
    network("fetch-buffer", "fetch(up, { method: 'POST', body: await photo.arrayBuffer() });"),
    network("fetch-bytes", "fetch(up, { method: 'POST', body: new Uint8Array(await photo.arrayBuffer()) });"),
    network("fetch-form", FORM_DATA + "fetch(up, { method: 'POST', body: form });", True),
    network("request-blob", "fetch(new Request(up, { method: 'POST', body: photo }));"),
    network("request-form", FORM_DATA + "fetch(new Request(up, { method: 'POST', body: form }));", True),
    network("xhr-blob", "const sent = new XMLHttpRequest(); sent.open('POST', up); sent.send(photo);"),
    network(
        "xhr-buffer", "const sent = new XMLHttpRequest(); sent.open('POST', up); sent.send(await photo.arrayBuffer());"
    ),
    network("xhr-form", FORM_DATA + "const sent = new XMLHttpRequest(); sent.open('POST', up); sent.send(form);", True),
    network("beacon-blob", "navigator.sendBeacon(up, photo);"),
    network("beacon-form", FORM_DATA + "navigator.sendBeacon(up, form);", True),
    network(
        "frames-fetch",
        "find('iframe').contentWindow.fetch(up, { method: 'POST', body: photo });",
        body=GO + "<iframe></iframe>",
    ),
]


def framework(
    name: str, act: Action, paths: tuple[str, ...] = ("b.png", "a.png"), body: str = "<div id=app></div>"
) -> Surface:
    bundle = name.removesuffix("-drop")
    return Surface(name, f"{body}<script src=/bundle/{bundle}></script>", act=act, paths=paths, order=False)


FRAMEWORKS = [
    framework("react", pick()),
    framework("vue", pick()),
    framework("dropzone", pick("#app")),
    framework("dropzone-drop", drop("#app")),
    framework("filepond", pick(".filepond--label-action"), body="<input id=app type=file>"),
    framework("filepond-drop", drop(".filepond--root"), body="<input id=app type=file>"),
    framework("uppy-xhr", pick(".uppy-DragDrop-container")),
    framework("uppy-xhr-drop", drop(".uppy-DragDrop-container")),
    framework("uppy-tus", pick(".uppy-DragDrop-container")),
    framework("uppy-tus-drop", drop(".uppy-DragDrop-container")),
]
BUNDLES = ["react", "vue", "dropzone", "filepond", "uppy-xhr", "uppy-tus"]
