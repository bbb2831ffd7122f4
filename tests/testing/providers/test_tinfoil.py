"""The enclave of Tinfoil's that tests run against, asked by Tinfoil's own client of EHBP."""

import asyncio
import json
from typing import Any

import ehbp
import httpx
import pytest

from ollm.net.connection import client_tls
from ollm.testing.providers.openai_shaped import ANSWER
from ollm.testing.providers.tinfoil import Lie, TinfoilServer
from ollm.testing.sealing.cheats import Cheat

CHAT = "/v1/chat/completions"
REQUEST: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "a secret"}]}


def client(server: TinfoilServer) -> ehbp.Client:
    return ehbp.Client.with_public_key_hex(server.url, server.keys.hpke.hex(), http_client=httpx.Client(verify=client_tls(), trust_env=False))


async def test_tinfoils_own_client_has_whole_and_streamed_chats_with_it() -> None:
    async with TinfoilServer() as server:

        def chat() -> tuple[str, bytes]:
            with client(server) as asked:
                whole = asked.post(CHAT, json_body=REQUEST).json()["choices"][0]["message"]["content"]
                with asked.stream("POST", CHAT, json_body={**REQUEST, "stream": True}) as response:
                    return whole, b"".join(response)

        whole, streamed = await asyncio.to_thread(chat)
        assert whole == ANSWER
        assert streamed.startswith(b"data: ") and streamed.endswith(b"data: [DONE]\n\n")
        assert [b"a secret" in asked.wire for asked in server.asked] == [False, False]
        assert all(b"a secret" in asked.body for asked in server.asked)


@pytest.mark.parametrize("cheat", [Cheat.PLAINTEXT, Cheat.SWAPPED_KEY])
async def test_tinfoils_own_client_refuses_what_it_is_cheated_with(cheat: Cheat) -> None:
    async with TinfoilServer(cheat=cheat) as server:
        with client(server) as asked, pytest.raises(ehbp.EHBPError):
            await asyncio.to_thread(asked.post, CHAT, json_body=REQUEST)


async def test_a_body_that_is_sealed_to_another_key_is_refused_as_the_protocol_says() -> None:
    async with TinfoilServer() as server:
        with client(server) as asked:
            server.rotate()
            with pytest.raises(ehbp.KeyConfigMismatchError):
                await asyncio.to_thread(asked.post, CHAT, json_body=REQUEST)
        assert server.asked[0].body == b""


async def test_documents_are_of_the_form_that_it_was_told() -> None:
    members = {"v2": {"format", "body"}, "june": {"format", "report_data", "cpu", "certificate", "signature"}}
    async with httpx.AsyncClient(verify=client_tls(), trust_env=False) as http:
        for form in ("v2", "june"):
            async with TinfoilServer(form=form) as server:
                answer = await http.get(server.url + "/.well-known/tinfoil-attestation?nonce=" + "5a" * 32)
                assert set(answer.json()) == members[form]
                assert (await http.get(server.url + "/elsewhere")).status_code == 404
        async with TinfoilServer(lie=Lie.OTHER_NONCE) as server:
            answer = await http.get(server.url + "/.well-known/tinfoil-attestation?nonce=" + "5a" * 32)
            assert json.loads(answer.content)["challenge"]["nonce"] == "00" * 32


async def test_what_came_in_plaintext_is_answered_in_plaintext() -> None:
    async with TinfoilServer() as server, httpx.AsyncClient(verify=client_tls(), trust_env=False) as http:
        answer = await http.post(server.url + CHAT, json={**REQUEST, "stream": True})
        assert answer.text.endswith("data: [DONE]\n\n")
        assert json.loads(server.asked[0].wire) == {**REQUEST, "stream": True}
