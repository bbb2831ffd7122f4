"""Sentences about AWS Nitro enclaves."""

from ollm.config.explain.points import Table, exposes, given, holds, note, only, register, sets, span

REFERENCE_VALUES: Table = {
    "name": lambda value, context: (),  # stands before each sentence
    "source": lambda value, context: (holds(f'its values come from: "{value}"'),),
    "pcr0": register("PCR0", "the whole enclave image", absent=exposes),
    "pcr1": register("PCR1", "kernel and boot RAM disk, which PCR0 covers too", absent=note),
    "pcr2": register("PCR2", "the application, which PCR0 covers too", absent=note),
    "pcr3": register("PCR3", "the IAM role of the instance: who runs the enclave", absent=note),
    "pcr4": register("PCR4", "the id of the instance", absent=note),
    "pcr8": register("PCR8", "the certificate that signed the image", absent=note),
    "pcr16": register("PCR16", "what the application itself wrote and locked, its configuration perhaps", absent=note),
}

NITRO: Table = {
    "simulated_root_sha256": given(
        absent=holds("an AWS Nitro document, verified to AWS's root, which is compiled in; debug enclaves are refused"),
        present=holds("a Nitro document under the simulated root {}, and none of AWS's"),
    ),
    "max_age_seconds": lambda value, context: (holds(f"the document is at most {span(value)} old, by the hypervisor's clock"),),
    "modules": only(
        absent="an enclave on any instance of any AWS account will do: whoever has the image can run it (list instance ids in modules, or pin PCR3)",
        empty="its list of instances is empty",
        present="the enclave is on one of {} known instances",
    ),
    "reference_values": sets(REFERENCE_VALUES, lambda values: f'Nitro image "{values.name}"'),
}
