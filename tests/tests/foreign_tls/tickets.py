"""Coming back with a ticket, early data, and tickets that should be worth nothing."""

from tlslite.constants import ExtensionType
from wire import DATA, Hello, Keys, Talk, digest, expand, vector

CASES = {}


def case(name):
    def add(run):
        CASES[name] = run
        return run

    return add


def fresh(site, who=None):
    """A ticket; the node gives it before it answers."""
    talk = site.met(Hello(canary=site.canary)).prove(who or site.good)
    talk.ask()
    assert len(talk.tickets) == 1, talk.tickets
    return talk.tickets[0]


def open_with(site, hello, ticket):
    talk = site.talk()
    talk.early = ticket.early()
    talk.greet(hello)
    return talk


def outcome(talk, member):
    """How the node took the ticket, whether it asked for the certificate, and its answer."""
    kind = "resumed" if talk.resumed else "full"
    kind += " certificate-asked" if talk.asked else ""
    kind += " early-data-taken" if talk.early_taken else ""
    return f"{kind} {talk.prove(member).ask()}"


def returning(name, bend=lambda hello: None, spoil=None, late=lambda hello: None):
    """`bend` changes the hello before the ticket is put to it, `late` afterwards."""

    def run(site):
        ticket = fresh(site)
        hello = Hello(canary=site.canary)
        bend(hello)
        ticket.offer(hello, spoil=spoil)
        late(hello)
        return outcome(open_with(site, hello, ticket).meet(), site.good)

    CASES[name] = run


def last_first(hello):
    hello.extensions.insert(0, hello.extensions.pop())


def no_binder(hello):
    kind, body = hello.extensions[-1]
    hello.put(kind, body[:-35] + vector(2))


def two_binders(hello):
    kind, body = hello.extensions[-1]
    hello.put(kind, body[:-35] + vector(2, *2 * [vector(1, bytes(32))]))


def cut(hello):
    kind, body = hello.extensions[-1]
    hello.put(kind, body[:-10])


def modes(*values):
    return lambda hello: hello.put(ExtensionType.psk_key_exchange_modes, vector(1, bytes(values)))


returning("ticket")
returning("ticket-binder-wrong", spoil=lambda binder: bytes(32))
returning("ticket-binder-one-bit-wrong", spoil=lambda binder: binder[:-1] + bytes([binder[-1] ^ 1]))
returning("ticket-not-last", late=last_first)
returning("ticket-without-binder", late=no_binder)
returning("ticket-with-two-binders", late=two_binders)
returning("ticket-extension-cut", late=cut)
returning("ticket-without-modes", bend=lambda hello: hello.drop(ExtensionType.psk_key_exchange_modes))
returning("ticket-without-key-exchange", bend=modes(0))
returning("ticket-with-unknown-mode", bend=modes(9, 1))
returning("ticket-without-protocols", bend=lambda hello: hello.drop(ExtensionType.alpn))


@case("ticket-tells-of-no-early-data")
def silent_about_early_data(site):
    ticket = fresh(site)
    return "none" if ticket.extensions == b"" and ticket.life <= 7 * 86400 else ticket.extensions.hex()


@case("ticket-forged")
def forged(site):
    ticket = fresh(site)
    ticket.label = ticket.label[:-1] + bytes([ticket.label[-1] ^ 1])
    hello = Hello(canary=site.canary)
    ticket.offer(hello)
    return outcome(open_with(site, hello, ticket).meet(), site.good)


@case("ticket-of-60-kib")
def huge(site):
    ticket = fresh(site)
    ticket.label = site.canary * 2500
    hello = Hello(canary=site.canary)
    ticket.offer(hello)
    return outcome(open_with(site, hello, ticket).meet(), site.good)


@case("ticket-twice")
def twice(site):
    """Within its life a ticket may come again; each time the registry judges its certificate anew."""
    ticket = fresh(site)
    outcomes = []
    for _ in range(2):
        hello = ticket.offer(Hello(canary=site.canary))
        outcomes.append(outcome(open_with(site, hello, ticket).meet(), site.good))
    return " ".join(outcomes)


@case("ticket-of-an-unlisted-certificate")
def unlisted(site):
    """The certificate is its authority's, but nobody here is that: 403 the first time and with the ticket."""
    member = site.member("unlisted")
    ticket = fresh(site, member)
    hello = ticket.offer(Hello(canary=site.canary))
    return outcome(open_with(site, hello, ticket).meet(), member)


@case("ticket-after-retry")
def after_retry(site):
    """HelloRetryRequest before a resumption: the binder covers both hellos."""
    ticket = fresh(site)
    hello = Hello(canary=site.canary)
    share = hello.key_shares(hello.secrets)
    hello.put(ExtensionType.key_share, vector(2))
    ticket.offer(hello)
    talk = open_with(site, hello, ticket)
    _, again = talk.server_hello()
    assert again
    hello.drop(ExtensionType.pre_shared_key).put(ExtensionType.key_share, share)
    ticket.offer(hello, before=talk.transcript)
    talk.greet(hello)
    return outcome(talk.meet(), site.good)


@case("ticket-then-certificate")
def certificate_too(site):
    """A resumed connection in which the client sends a certificate nobody asked for."""
    ticket = fresh(site)
    talk = open_with(site, ticket.offer(Hello(canary=site.canary)), ticket).meet()
    talk.say(talk.certificate(site.good.chain))
    return talk.read_record()[0]


# ---- early data


def early(name, records, size=500):
    """Early data that no ticket allowed, sealed with the right keys."""

    def run(site):
        ticket = fresh(site)
        hello = Hello(canary=site.canary).put(ExtensionType.early_data, b"")
        ticket.offer(hello)
        talk = open_with(site, hello, ticket)
        keys = Keys(expand(ticket.early(), b"c e traffic", digest(talk.transcript)))
        data = b"POST /v1/datasets HTTP/1.1\r\nX: " + site.canary
        for _ in range(records):
            talk.raw(keys.sealed(data.ljust(size, b".") + bytes([DATA])))
        return outcome(talk.meet(), site.good)

    CASES[name] = run


early("early-data-announced-only", 0)
early("early-data-sent", 1)
early("early-data-2-mib", 128, 16000)


# ---- tickets beyond this connection: `main.rs` changes the node's certificate between these two


@case("ticket-kept")
def keep(site):
    site.kept = fresh(site)
    hello = site.kept.offer(Hello(canary=site.canary))
    return outcome(open_with(site, hello, site.kept).meet(), site.good)


@case("ticket-kept-replayed")
def replay(site):
    hello = site.kept.offer(Hello(canary=site.canary))
    return outcome(open_with(site, hello, site.kept).meet(), site.good)


def ticketless(name, port, who, path):
    def run(site):
        talk = Talk(getattr(site, port))
        talk.greet(Hello(canary=site.canary))
        status = talk.meet().prove(site.member(who)).ask(path)
        return f"{status} tickets {len(talk.tickets)}"

    CASES[name] = run


ticketless("officers-get-no-ticket", "admin", "security", b"/v1/streams")
ticketless("legacy-1.3-gets-no-ticket", "legacy", "alpha", b"/v1/datasets")


@case("officers-without-certificate")
def nameless_officer(site):
    talk = Talk(site.admin)
    talk.greet(Hello(canary=site.canary))
    talk.meet()
    talk.say(talk.certificate([]))
    talk.finish()
    return talk.ask()
