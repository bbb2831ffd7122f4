"""What is configured, to look at: policies, routes, providers. Names, levels and adapters; no URL, no credential, no reference value."""

from ollm.admin.call import Answer, Call
from ollm.admin.queries import Page


async def list_policies(call: Call) -> Answer:
    """Policies of the measured configuration: what an acceptance under each is worth."""
    page = Page(call.query)
    call.query.end()
    settings = call.admin.settings
    used = {name: [up for up, each in settings.upstreams.items() if each.policy == name] for name in settings.policies}
    objects = [
        {"id": name, "object": "organization.policy", "level": str(policy.level), "upstreams": used[name]}
        for name, policy in settings.policies.items()
    ]
    return {**page.of(objects), "config_digest": call.admin.config_digest, "floor": str(settings.gateway.floor)}


async def list_routes(call: Call) -> Answer:
    """Models, and the upstreams that each can go to, in their order."""
    page = Page(call.query)
    call.query.end()
    levels = call.admin.levels
    objects = [
        {
            "id": name,
            "object": "organization.route",
            "aliases": list(model.aliases),
            "choose": model.choose,
            "upstreams": [{"id": upstream, "level": str(levels[upstream])} for upstream in model.upstreams],
            "priced": model.price is not None,
        }
        for name, model in call.admin.settings.models.items()
    ]
    return page.of(objects)


async def list_providers(call: Call) -> Answer:
    """Upstreams: their adapters, levels and policies."""
    page = Page(call.query)
    call.query.end()
    objects = [
        {
            "id": name,
            "object": "organization.provider",
            "adapter": upstream.adapter,
            "level": str(call.admin.levels[name]),
            "policy": upstream.policy,
            "region": upstream.region,
        }
        for name, upstream in call.admin.settings.upstreams.items()
    ]
    return page.of(objects)
