"""A Handlebars engine that compiles a template to one Python function: text in, text out, no I/O.

The dialect is handlebars.js 4.7, described for users in `docs/handlebars.md`. This package knows nothing of the rest.
A source is read by `lexer`, `expressions` and `parser` (which trims with `whitespace`), and written as Python by `compiler`,
`statements`, `calls`, `scope` and `writer`. The result runs with `runtime`, `lookups`, `values` and `helpers`; `failures` finds
the place of an error.
"""

from coderun.handlebars.errors import HelperError, TemplateError, TemplateRenderError, TemplateSyntaxError
from coderun.handlebars.helpers import HELPERS, Helper, Options, OptionsHelper
from coderun.handlebars.limits import Limits
from coderun.handlebars.references import PartialCall, References
from coderun.handlebars.template import Environment, Template
from coderun.handlebars.values import UNDEFINED, SafeString, Undefined, escape_html

__all__ = [
    "HELPERS",
    "UNDEFINED",
    "Environment",
    "Helper",
    "HelperError",
    "Limits",
    "Options",
    "OptionsHelper",
    "PartialCall",
    "References",
    "SafeString",
    "Template",
    "TemplateError",
    "TemplateRenderError",
    "TemplateSyntaxError",
    "Undefined",
    "escape_html",
]
