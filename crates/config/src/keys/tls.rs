//! Keys of `tls`, of listeners and of pools.

use super::{Default, Form, Kind, Off, Section, key};

/// `tls` of a listener: a place, several, or the table.
pub(super) const LISTENER_TLS: Kind =
    Kind::Either(&[Kind::Text(Form::File), Kind::List(&CERTIFICATES), Kind::Table(&TLS)]);

const CERTIFICATES: Kind = Kind::Either(&[Kind::Text(Form::File), Kind::Table(&CERTIFICATE)]);

/// Versions and suites that go together.
const PRESET: Kind = Kind::Choice { now: &["modern", "intermediate"], later: &[] };

const CERT: &str = "The chain in PEM: the certificate, then those of its issuers.";
const KEY: &str = "The private key in PEM, without a password.";
const OCSP: &str = "An OCSP answer (DER) to staple; what is out of date is not sent.";

static TLS: Section = Section {
    heading: "[listener.NAME.tls]",
    about: "Certificates and what goes with them; docs/tls.md tells how they are found, watched and replaced. A folder, a \
            file with chain and key, or a list of such and of tables may stand for the whole table.",
    keys: &[
        key("cert", Kind::Text(Form::File), Default::Unset("see `certs`"), CERT, "\"shop.pem\""),
        key("key", Kind::Text(Form::File), Default::Unset("in the file of `cert`"), KEY, "\"shop.key\""),
        key("ocsp", Kind::Text(Form::File), Default::Unset("nothing is stapled"), OCSP, "\"shop.ocsp\""),
        key(
            "certs",
            Kind::List(&CERTIFICATES),
            Default::Is("[]"),
            "Folders, files with chain and key, and tables. Clients get the certificate for the name they ask for, else \
             the first.",
            "[\"/etc/evenkeel/certs/\", { cert = \"shop.pem\", key = \"shop.key\" }]",
        ),
        key(
            "preset",
            PRESET,
            Default::Is("\"intermediate\""),
            "`intermediate`: TLS 1.2 and 1.3; `modern`: TLS 1.3 alone. Both with forward secrecy and authenticated \
             encryption only.",
            "\"modern\"",
        ),
        key(
            "client_ca",
            Kind::OneOrMore(&Kind::Text(Form::File)),
            Default::Unset("clients are not asked for certificates"),
            "Who issues the certificates of clients (PEM). Backends get what they say in X-Client-Cert-*.",
            "\"clients-ca.pem\"",
        ),
        key(
            "client_auth",
            Kind::Choice { now: &["required", "optional"], later: &[] },
            Default::Is("\"required\""),
            "With `client_ca`: whether clients without a certificate are refused. One that is not valid always is.",
            "\"optional\"",
        ),
        key(
            "forward_client_cert",
            Kind::Flag,
            Default::Is("false"),
            "With `client_ca`: backends get the whole certificate, too, in Client-Cert (RFC 9440).",
            "true",
        ),
    ],
};

static CERTIFICATE: Section = Section {
    heading: "A certificate in `tls`",
    about: "Files that belong together.",
    keys: &[
        key("cert", Kind::Text(Form::File), Default::Required, CERT, "\"shop.pem\""),
        key("key", Kind::Text(Form::File), Default::Unset("in the file of `cert`"), KEY, "\"shop.key\""),
        key("ocsp", Kind::Text(Form::File), Default::Unset("nothing is stapled"), OCSP, "\"shop.ocsp\""),
    ],
};

/// `hsts`: a time, or the table.
pub(super) const HSTS: Kind =
    Kind::Either(&[Kind::Duration { off: Off::Refused, min_ms: 1000 }, Kind::Table(&HSTS_TABLE)]);

static HSTS_TABLE: Section = Section {
    heading: "[listener.NAME.hsts]",
    about: "Strict-Transport-Security (RFC 6797): browsers come back by HTTPS only, for so long, whatever happens to the \
            certificate. Begin with a short time.",
    keys: &[
        key(
            "max_age",
            Kind::Duration { off: Off::Refused, min_ms: 1000 },
            Default::Required,
            "For how long.",
            "\"365d\"",
        ),
        key("subdomains", Kind::Flag, Default::Is("false"), "For everything below the host, too.", "true"),
        key(
            "preload",
            Kind::Flag,
            Default::Is("false"),
            "Asks browsers to have the host in their lists; hard to take back.",
            "true",
        ),
    ],
};

pub(super) static POOL_TLS: Section = Section {
    heading: "[pool.NAME.tls]",
    about: "How backends of `https://` are spoken to, by requests and by probes. Their certificates are verified against \
            what the system trusts, and must be for the host of their address.",
    keys: &[
        key(
            "ca",
            Kind::OneOrMore(&Kind::Text(Form::File)),
            Default::Unset("what the system trusts"),
            "Who issues the certificates of the backends (PEM); nobody else is believed then.",
            "\"/etc/evenkeel/backends-ca.pem\"",
        ),
        key(
            "name",
            Kind::Text(Form::Host),
            Default::Unset("the host of each address"),
            "The name that backends are asked for (SNI), and that their certificates must be for.",
            "\"app.internal\"",
        ),
        key(
            "cert",
            Kind::Text(Form::File),
            Default::Unset("none"),
            "The certificate that we show (PEM).",
            "\"us.pem\"",
        ),
        key("key", Kind::Text(Form::File), Default::Unset("in the file of `cert`"), KEY, "\"us.key\""),
        key(
            "verify",
            Kind::Flag,
            Default::Is("true"),
            "`false` believes every certificate: whoever is on the way can read and change everything.",
            "true",
        ),
        key("preset", PRESET, Default::Is("\"intermediate\""), "Versions and suites, as for listeners.", "\"modern\""),
    ],
};
