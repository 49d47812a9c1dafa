"""GitHub as a forge: github.com and GitHub Enterprise Server.

```
auth (who are we?) ──► client (limits, retries, ETags, pages) ──► reading (gather) ──► assemble (pure) ──► pull requests
                                     ▲
                                   forge (writes look first)
```
Only `client` speaks HTTP. What GitHub says is read as the few fields of `shapes`; nothing here decides about plays.
"""
