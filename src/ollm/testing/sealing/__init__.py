"""The provider's side of every body cipher, for fake providers: it opens requests, seals answers, and cheats when told to.

Written from the protocols' texts with other means than `ollm.seal` (plain `json`, libsodium, the library's HKDF), so that each
is a check of the other. Nothing here is hardened: it runs in tests.
"""
