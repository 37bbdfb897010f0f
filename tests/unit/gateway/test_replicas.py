import socket

import pytest

from gateway.replicas import is_fixed, resolve


@pytest.mark.parametrize(
    ("target", "addresses"),
    [
        ("127.0.0.1:50051", ["127.0.0.1:50051"]),
        ("127.0.0.2:1, 127.0.0.1:1,127.0.0.2:1", ["127.0.0.1:1", "127.0.0.2:1"]),
        ("[::1]:50051", ["[::1]:50051"]),
        ("dns:///127.0.0.1:50051", ["127.0.0.1:50051"]),
    ],
)
async def test_literal_addresses_stand_for_themselves(target, addresses):
    assert await resolve(target) == addresses
    assert is_fixed(target)


@pytest.mark.parametrize("target", ["localhost:50051", "dns:///localhost:50051"])
async def test_a_name_stands_for_its_addresses_of_one_family(target):
    assert await resolve(target) == ["127.0.0.1:50051"]
    assert not is_fixed(target)


async def test_a_name_nobody_knows_is_an_error():
    with pytest.raises(socket.gaierror):
        await resolve("name.invalid:1")
