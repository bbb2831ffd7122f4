"""Every parser of evidence against damaged input: the table of targets, a mutator, and two ways to run them.

`hammer` damages minted evidence by a fixed seed (the tests do so); `guided` lets libFuzzer follow the code that each input reaches
(`make fuzz`). Both demand the same: nothing but our own error escapes, no input takes longer than `target.LIMIT_SECONDS`.
"""
