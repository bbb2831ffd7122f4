"""Members of OpenAI's requests that carry no content: what a strict cipher of fields lets pass in the clear.

Lists of what may pass, not of what may not: a member that a later API brings is content until somebody has looked at it.
`CONTENT_IN_CLEAR` is for documentation only.
"""

from ollm.seal.fields import Rule

COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"

# Names, numbers and switches. `model` routes; the rest steers sampling, the form of the answer, and scheduling.
SAMPLING = (
    "model stream stream_options n temperature top_p top_k min_p typical_p seed max_tokens max_completion_tokens min_tokens "
    "frequency_penalty presence_penalty repetition_penalty length_penalty logprobs top_logprobs ignore_eos "
    "skip_special_tokens include_stop_str_in_output use_beam_search best_of service_tier store"
)
CHAT_CLEAR = SAMPLING + " parallel_tool_calls reasoning_effort verbosity modalities include_reasoning"
EMBEDDINGS_CLEAR = "model dimensions encoding_format"

# What these protocols have no sealed form for although it is, or may be, content of the caller.
CONTENT_IN_CLEAR = (
    "response_format.json_schema",
    "metadata",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "stop",
    "logit_bias",
    "prediction",
    "functions",
    "suffix",
    "echo",
    "chat_template_kwargs",
    "web_search_options",
    "guided_json, guided_regex, guided_choice, guided_grammar, structured_outputs",
    "messages[].audio.transcript",
    "custom tools (tools[].custom, tool_calls[].custom)",
    "token ids as prompt or input",
    "any other member that is not listed as harmless",
)

# {"type": "text"} and {"type": "json_object"} pass; a schema beside the type does not.
RESPONSE_FORMAT = Rule(members={"type": Rule(words=frozenset({"text", "json_object"}))})
