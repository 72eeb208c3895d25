//! Addresses of an admin interface.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::failure::Failure;

/// Where an admin interface may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `host:port`.
    Tcp(String),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Place {
    /// Reads `127.0.0.1:9900`, `http://127.0.0.1:9900/`, `:9900`, `unix:/PATH` or `/PATH`.
    ///
    /// # Errors
    /// It is none of these.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let path = text.strip_prefix("unix:").or_else(|| text.starts_with('/').then_some(text));
        if let Some(path) = path.filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        let text = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        match port {
            None | Some(0) => Err(Failure::refused(
                format!("`{text}` is not an admin address"),
                "write for instance 127.0.0.1:9900, [::1]:9900 or unix:/run/evenkeel/admin.sock",
            )),
            Some(port) if text.starts_with(':') => Ok(Self::Tcp(format!("127.0.0.1:{port}"))),
            Some(_) => Ok(Self::Tcp(text.to_owned())),
        }
    }

    /// Where to ask for an interface that listens on `address`: one that listens everywhere is here, too.
    pub(crate) fn of_listener(mut address: SocketAddr) -> Self {
        if address.ip().is_unspecified() {
            let loopback = match address.ip() {
                IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
                IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
            };
            address.set_ip(loopback);
        }
        Self::Tcp(address.to_string())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        Place::parse(text).ok().map(|place| place.to_string())
    }

    #[test]
    fn forms_of_addresses() {
        for (text, expected) in [
            ("127.0.0.1:9900", "127.0.0.1:9900"),
            ("http://lb.example:9900/", "lb.example:9900"),
            (":9900", "127.0.0.1:9900"),
            ("[::1]:9900", "[::1]:9900"),
            ("unix:/run/x.sock", "unix:/run/x.sock"),
            ("/run/x.sock", "unix:/run/x.sock"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected));
        }
        for text in ["", "lb.example", "127.0.0.1:0", "a:99999", "unix:"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn an_interface_that_listens_everywhere_is_asked_here() {
        let place = |text: &str| Place::of_listener(text.parse().unwrap()).to_string();
        assert_eq!(place("0.0.0.0:1"), "127.0.0.1:1");
        assert_eq!(place("[::]:1"), "[::1]:1");
        assert_eq!(place("192.0.2.1:1"), "192.0.2.1:1");
    }
}
