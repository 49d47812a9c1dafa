"""The endpoints, one module for each part of the REST API; each ends in the table of its routes."""

from tests.fakes.github.call import Route
from tests.fakes.github.routes import apps, branches, checks, code, deliveries, graphql, issues, labels, pulls, reviews

ROUTES: list[Route] = [
    *apps.ROUTES,
    *branches.ROUTES,
    *checks.ROUTES,
    *code.ROUTES,
    *deliveries.ROUTES,
    *graphql.ROUTES,
    *issues.ROUTES,
    *labels.ROUTES,
    *pulls.ROUTES,
    *reviews.ROUTES,
]
