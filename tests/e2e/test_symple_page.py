"""Symple v4 in a real Chromium, in every mode: by a client of our own, and by the published packages where they are.

The packages `symple-client` and `symple-player` are not in every registry; a folder that holds both can be named by
`SYMPLE_PACKAGES`.
"""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import av
import pytest

from tests.e2e.chromium import PATIENCE_MS, browser
from tests.e2e.system import START_SECONDS, running_system, wait_for

PAGE = Path(__file__).parent / "symple"
PACKAGES = ["symple-client@4.0.1", "symple-player@4.0.6"]
FOLDER = Path.home() / ".cache" / "pulsegate" / "-".join(PACKAGES)
CAPABILITIES = {"stream": ["view"], "record": ["publish"], "relay": ["publish", "view"]}
SERVER = "() => symple.seen.peers.find((peer) => peer.type === 'server')"
PLAYS = "() => { const v = document.getElementById('video'); return v.videoWidth > 0 && v.currentTime > 0; }"


@pytest.fixture(scope="session")
def packages():
    """The folder of the packages: the one that is named, or one that npm fills once for all runs."""
    if named := os.environ.get("SYMPLE_PACKAGES"):
        return Path(named)
    if not FOLDER.exists():
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(FOLDER), *PACKAGES]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=60)
        except (subprocess.SubprocessError, OSError) as error:
            shutil.rmtree(FOLDER, ignore_errors=True)
            pytest.skip(f"the packages of Symple cannot be had here: {type(error).__name__}")
    return FOLDER / "node_modules"


@pytest.fixture(scope="module", params=CAPABILITIES)
def serving(request, tmp_path_factory):
    """The gateway and a media process in one mode."""
    if request.param == "stream":
        system = request.getfixturevalue("system")
        system.mode = "stream"
        yield system
        return
    with running_system(tmp_path_factory.mktemp(request.param)) as system:
        system.mode = request.param
        system.start("media", "gateway", PULSEGATE_MEDIA_MODE=system.mode)
        wait_for(lambda: system.started("media") and system.started("gateway"), START_SECONDS, "both to listen")
        wait_for(lambda: system.get("media", "/api/ready")[0] == 200, START_SECONDS, "media to be ready")
        yield system


@pytest.fixture(params=["ours", "packages"])
def client(request):
    """Which client the page uses, and where that is found."""
    return request.param, request.getfixturevalue("packages") if request.param == "packages" else None


async def joined(context, system, client, user):
    """A page that has found the server."""
    name, packages = client
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)

    async def from_disk(route):
        path = route.request.url.partition("?")[0].partition("/of-the-test/")[2]
        folder, rest = (packages, path.removeprefix("packages/")) if path.startswith("packages/") else (PAGE, path)
        await route.fulfill(path=folder / rest)

    # A page that did not come over the network is not taken for one of this machine, and may not talk to it unasked.
    await context.grant_permissions(["camera", "microphone", "local-network-access"])
    await page.route("**/of-the-test/**", from_disk)
    await page.goto(system.url("media", f"/of-the-test/index.html?client={name}&user={user}"))
    await page.wait_for_function(f"() => window.symple && ({SERVER})()")
    found = await page.evaluate(SERVER)
    assert (found["name"], found["capabilities"]) == ("Icey Server", CAPABILITIES[system.mode])
    return page


async def state(page):
    return await page.evaluate("() => symple.seen.state")


def sessions(system):
    return system.get("media", "/api/status")[1]["sessions"]


async def sessions_fall_to(system, count):
    await asyncio.to_thread(wait_for, lambda: sessions(system)["active"] == count, 15, f"{count} sessions to be left")


async def watch(page):
    await page.evaluate(f"async () => symple.watch(({SERVER})())")
    await page.wait_for_function(PLAYS)


async def broadcast(page, *, audio):
    await page.evaluate(f"async () => symple.broadcast(({SERVER})(), {str(audio).lower()})")
    await page.wait_for_function("() => symple.connection()?.connectionState === 'connected'")


async def test_a_page_meets_the_server_and_does_what_its_mode_is_for(serving, client):
    before = sessions(serving)["active"]
    async with browser() as context:
        page = await joined(context, serving, client, "one")
        await {"stream": streams, "record": records, "relay": relays}[serving.mode](context, page, serving, client)
        assert await page.evaluate("() => symple.seen.errors") == []
        await page.evaluate("() => symple.cut()")
        await sessions_fall_to(serving, before)


async def streams(_context, page, system, _client):
    """Watch, hang up, and watch again; then the socket is cut."""
    await watch(page)
    assert sessions(system)["active"] == 1
    assert "active" in await state(page)
    await page.evaluate("() => symple.hangup()")
    await sessions_fall_to(system, 0)
    assert (await state(page))[-1] == "ended hangup"
    await watch(page)


async def records(_context, page, system, _client):
    """Broadcast for a while, hang up, and find a file that plays."""
    await broadcast(page, audio=False)
    folder = system.folder / "recordings"
    before = set(folder.glob("*.mp4"))
    await asyncio.to_thread(
        wait_for, lambda: any(one.stat().st_size > 50_000 for one in folder.glob("*.part")), 20, "a recording to grow"
    )
    await page.evaluate("() => symple.hangup()")
    await asyncio.to_thread(wait_for, lambda: set(folder.glob("*.mp4")) - before, 20, "the recording to be complete")
    (made,) = set(folder.glob("*.mp4")) - before
    assert made.name.startswith("one_")
    with av.open(str(made)) as container:
        assert sum(1 for _ in container.decode(video=0)) > 10


async def relays(context, page, system, client):
    """A viewer that waits sees what is broadcast; the broadcaster's hang-up does not end the viewer's call."""
    viewer = await joined(context, system, client, "two")
    await viewer.evaluate(f"async () => symple.watch(({SERVER})())")
    await viewer.wait_for_function("() => symple.connection()?.connectionState === 'connected'")
    await broadcast(page, audio=True)
    await viewer.wait_for_function(PLAYS)
    assert sessions(system)["active"] == 2
    await page.evaluate("() => symple.hangup()")
    await sessions_fall_to(system, 1)
    assert (await state(viewer))[-1] in {"active", "accepted"}
    await viewer.evaluate("() => symple.hangup()")
    await sessions_fall_to(system, 0)
