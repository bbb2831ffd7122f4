"""Collapsed stacks, as py-spy writes them, added up by function, package and thread."""

from bench.stacks import listing, package_of, shares, threads, tree

STACKS = """\
thread (101): MainThread;main (ollm/cli/main.py:10);chat (ollm/gateway/pipeline.py:40);sign (ollm/net/signer.py:20) 6
thread (101): MainThread;main (ollm/cli/main.py:10);chat (ollm/gateway/pipeline.py:44);chat (ollm/gateway/pipeline.py:50) 3
thread (101): MainThread;main (ollm/cli/main.py:10) 1
thread (102): writer;run (threading.py:982);commit (ollm/store/writer.py:88) 90

a line that is not a stack
"""


def test_samples_of_the_main_thread_are_charged_to_function_and_package() -> None:
    found = shares(STACKS.splitlines())
    assert found.total == 10
    assert found.own == {"sign (signer.py)": 6, "chat (pipeline.py)": 3, "main (main.py)": 1}
    assert found.packages == {"ollm.net": 6, "ollm.gateway": 3, "ollm.cli": 1}


def test_another_thread_can_be_asked_for_by_name() -> None:
    assert threads(STACKS.splitlines()) == {101: "MainThread", 102: "writer"}
    assert shares(STACKS.splitlines(), "writer").own == {"commit (writer.py)": 90}


def test_a_recursive_function_counts_once_for_a_stack() -> None:
    assert shares(STACKS.splitlines()).within["chat (pipeline.py)"] == 9


def test_packages_are_told_from_file_names() -> None:
    assert package_of("/x/src/ollm/wire/chat.py") == "ollm.wire"
    assert package_of("/x/site-packages/uvicorn/protocols/http.py") == "uvicorn"
    assert package_of("uvicorn/protocols/http.py") == "uvicorn"
    assert package_of("/usr/lib/python3.11/ssl.py") == "python"
    assert package_of("json/decoder.py") == "python"
    assert package_of("libssl.so.3") == "native"


def test_a_listing_leaves_out_what_every_sample_has() -> None:
    found = shares(STACKS.splitlines())
    assert listing("within", found.within, found.total, 5) == "within\n  90.0%  chat (pipeline.py)\n  60.0%  sign (signer.py)\n"


def test_a_listing_gives_the_largest_shares_first() -> None:
    found = shares(STACKS.splitlines())
    assert listing("own", found.own, found.total, 2) == "own\n  60.0%  sign (signer.py)\n  30.0%  chat (pipeline.py)\n"


def test_the_tree_begins_where_stacks_part_and_leaves_out_twigs() -> None:
    assert tree(shares(STACKS.splitlines()), least=0.2).splitlines()[1:] == [
        "  90.0%  chat (pipeline.py)",
        "  60.0%    sign (signer.py)",
        "  30.0%    chat (pipeline.py)",
    ]
