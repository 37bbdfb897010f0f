import asyncio

from runtime.status import StatusFeed


async def test_a_watcher_gets_the_document_at_once_and_after_each_change():
    document = {"number": 0}
    feed = StatusFeed(lambda: dict(document))
    watching = feed.watch()
    assert await anext(watching) == {"number": 0}
    document["number"] = 1
    feed.changed()
    assert await anext(watching) == {"number": 1}
    await watching.aclose()


async def test_many_changes_become_one_document():
    counted = [0]
    feed = StatusFeed(lambda: counted[0])
    watching = feed.watch()
    assert await anext(watching) == 0
    for _ in range(100):
        counted[0] += 1
        feed.changed()
    assert await anext(watching) == 100
    await watching.aclose()


async def test_a_document_that_reads_the_same_is_not_told_again():
    told = []
    feed = StatusFeed(lambda: "same")

    async def follow():
        async for document in feed.watch():
            told.append(document)

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    feed.changed()
    feed.close()
    async with asyncio.timeout(5):
        await following
    assert told == ["same"]


async def test_closing_tells_the_last_document_first():
    document = ["running"]
    feed = StatusFeed(lambda: document[0])
    watching = feed.watch()
    assert await anext(watching) == "running"
    document[0] = "draining"
    feed.close()
    async with asyncio.timeout(5):
        assert [last async for last in watching] == ["draining"]
