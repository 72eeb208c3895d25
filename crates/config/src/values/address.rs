//! Addresses: where we accept, and where backends are.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use policy::plan::{Address, Bind};

use crate::diagnostic::Problem;
use crate::values::host;

/// Bytes of a Unix socket path, one less than `sun_path` holds on Linux.
const UNIX_PATH_MAX: usize = 107;

/// Schemes of backends that are not built yet, with the nearest alternative.
const SCHEMES_LATER: &[(&str, &str)] = &[("srv", "name the servers one by one")];

/// Reads an address to accept on: `:80`, `0.0.0.0:80`, `[::]:80`, `unix:/path`.
pub(crate) fn bind(text: &str) -> Result<Bind, Problem> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path).map(Bind::Unix);
    }
    if let Some(port) = text.strip_prefix(':').filter(|port| !port.contains(':')) {
        let addr = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), listening_port(port)?);
        return Ok(Bind::Tcp { addr, v6_only: false });
    }
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return Ok(Bind::Tcp { addr, v6_only: addr.is_ipv6() });
    }
    Err(not_an_address_to_bind(text))
}

fn not_an_address_to_bind(text: &str) -> Problem {
    let problem = Problem::value(format!("`{text}` is not an address to accept on"));
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return problem.remedy(format!("a port is missing: write `\"{}\"`", SocketAddr::new(ip, 80)));
    }
    match text.rsplit_once(':') {
        None if is_port(text) => problem.remedy(format!("write `\":{text}\"`")),
        Some(("*", port)) if is_port(port) => problem.remedy(format!("write `\":{port}\"`")),
        Some(("localhost", port)) if is_port(port) => problem.remedy(format!("write `\"127.0.0.1:{port}\"`")),
        Some((host, port)) if is_port(port) && host::is_name(host) => {
            problem.remedy("names are not looked up here: write the IP address")
        }
        Some((_, ports)) if ports.split_once('-').is_some_and(|(a, b)| is_port(a) && is_port(b)) => {
            Problem::not_available("a range of ports", "list the addresses one by one")
        }
        _ if text.starts_with('/') => problem.remedy(format!("write `\"unix:{text}\"`")),
        _ => problem.remedy("write `\":80\"`, `\"127.0.0.1:80\"`, `\"[::1]:80\"` or `\"unix:/path\"`"),
    }
}

/// Where a backend is, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) address: Address,
    pub(crate) tls: bool,
    pub(crate) http2: bool,
}

/// Schemes of backends, with TLS, HTTP/2 and the port where none is given.
const SCHEMES: [(&str, bool, bool, u16); 4] =
    [("http", false, false, 80), ("https", true, false, 443), ("h2c", false, true, 80), ("h2", true, true, 443)];

/// Reads the address of a backend.
pub(crate) fn backend(text: &str) -> Result<Located, Problem> {
    let plain = |address| Located { address, tls: false, http2: false };
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path).map(|path| plain(Address::Unix(path)));
    }
    for (scheme, instead) in SCHEMES_LATER {
        if text.strip_prefix(scheme).is_some_and(|rest| rest.starts_with(':')) {
            return Err(Problem::not_available(&format!("`{scheme}` for backends"), instead));
        }
    }
    let found = SCHEMES.iter().find_map(|known| Some((known, text.strip_prefix(known.0)?.strip_prefix("://")?)));
    let Some(((scheme, tls, http2, port), rest)) = found else {
        return host_port(text, None).map(plain);
    };
    match rest.split_once('/') {
        None | Some((_, "")) => {
            let address = host_port(rest.trim_end_matches('/'), Some(*port))?;
            Ok(Located { address, tls: *tls, http2: *http2 })
        }
        Some((authority, _)) => Err(Problem::value(format!("`{text}` has a path, but a backend is a server"))
            .remedy(format!("write `\"{scheme}://{authority}\"`; a route's `rewrite` changes paths"))),
    }
}

fn host_port(text: &str, default_port: Option<u16>) -> Result<Address, Problem> {
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return match addr.port() {
            0 => Err(bad_port("0")),
            _ => Ok(Address::Ip(addr)),
        };
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        let is_authority = ip.is_ipv4() || text.starts_with('[');
        return match default_port.filter(|_| is_authority) {
            Some(port) => Ok(Address::Ip(SocketAddr::new(ip, port))),
            None => Err(no_port(text, &SocketAddr::new(ip, 8080).to_string())),
        };
    }
    match (text.rsplit_once(':'), default_port) {
        (Some((host, port)), _) if host::is_name(host) => match port.parse::<u16>() {
            Ok(0) | Err(_) => Err(bad_port(port)),
            Ok(port) => Ok(Address::Name(host.to_ascii_lowercase(), port)),
        },
        (None, Some(port)) if host::is_name(text) => Ok(Address::Name(text.to_ascii_lowercase(), port)),
        (None, None) if host::is_name(text) => Err(no_port(text, &format!("{text}:8080"))),
        _ => Err(Problem::value(format!("`{text}` is not the address of a backend"))
            .remedy("write `\"10.0.0.11:8080\"`, `\"name:8080\"`, `\"[fd00::1]:8080\"` or `\"unix:/path\"`")),
    }
}

fn no_port(text: &str, example: &str) -> Problem {
    Problem::value(format!("`{text}` has no port")).remedy(format!("write for instance `\"{example}\"`"))
}

fn bad_port(port: &str) -> Problem {
    Problem::value(format!("`{port}` is not a port")).remedy("ports go from 1 to 65535")
}

fn listening_port(port: &str) -> Result<u16, Problem> {
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(port) if digits => Ok(port),
        _ if port.split_once('-').is_some_and(|(a, b)| is_port(a) && is_port(b)) => {
            Err(Problem::not_available("a range of ports", "list the addresses one by one"))
        }
        _ => Err(Problem::value(format!("`{port}` is not a port")).remedy("ports go from 0 (any free one) to 65535")),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Reads the path of a Unix socket.
pub(crate) fn unix(path: &str) -> Result<PathBuf, Problem> {
    if !path.starts_with('/') {
        return Err(Problem::value(format!("`{path}` is not an absolute path"))
            .remedy("write the whole path, as in `\"unix:/run/app.sock\"`"));
    }
    if path.len() > UNIX_PATH_MAX || path.contains('\0') {
        return Err(Problem::value(format!("a socket path has at most {UNIX_PATH_MAX} bytes, none of them zero")));
    }
    Ok(PathBuf::from(path))
}

/// The address of a bind as it would be written.
pub(crate) fn show(bind: &Bind) -> String {
    match bind {
        Bind::Tcp { addr, v6_only: false } if addr.is_ipv6() => format!(":{}", addr.port()),
        Bind::Tcp { addr, .. } => addr.to_string(),
        Bind::Unix(path) => format!("unix:{}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> (String, bool) {
        match bind(text).unwrap() {
            Bind::Tcp { addr, v6_only } => (addr.to_string(), v6_only),
            Bind::Unix(path) => (path.display().to_string(), false),
        }
    }

    #[test]
    fn binds() {
        assert_eq!(tcp(":80"), ("[::]:80".to_owned(), false));
        assert_eq!(tcp("0.0.0.0:80"), ("0.0.0.0:80".to_owned(), false));
        assert_eq!(tcp("[::]:80"), ("[::]:80".to_owned(), true));
        assert_eq!(tcp("127.0.0.1:0"), ("127.0.0.1:0".to_owned(), false));
        assert_eq!(tcp("unix:/run/a.sock"), ("/run/a.sock".to_owned(), false));
    }

    #[test]
    fn bad_binds_say_what_to_write() {
        let remedy = |text| bind(text).unwrap_err().remedy.unwrap();
        assert_eq!(remedy("80"), "write `\":80\"`");
        assert_eq!(remedy("*:80"), "write `\":80\"`");
        assert_eq!(remedy("localhost:80"), "write `\"127.0.0.1:80\"`");
        assert_eq!(remedy("127.0.0.1"), "a port is missing: write `\"127.0.0.1:80\"`");
        assert_eq!(remedy("::1"), "a port is missing: write `\"[::1]:80\"`");
        assert_eq!(remedy("/run/a.sock"), "write `\"unix:/run/a.sock\"`");
        assert_eq!(remedy(":80-90"), "list the addresses one by one");
        for text in ["", ":", ":99999", ":+80", "http://x", "unix:a", "a b:80"] {
            assert!(bind(text).is_err(), "{text}");
        }
    }

    #[test]
    fn backends() {
        let shown = |text| backend(text).unwrap().address.to_string();
        assert_eq!(shown("10.0.0.11:8080"), "10.0.0.11:8080");
        assert_eq!(shown("App-1.internal:8080"), "app-1.internal:8080");
        assert_eq!(shown("http://app"), "app:80");
        let spoken = |text| backend(text).map(|located| (located.tls, located.http2)).unwrap();
        assert_eq!(
            [spoken("app:1"), spoken("http://app"), spoken("https://app")],
            [(false, false), (false, false), (true, false)]
        );
        assert_eq!([spoken("h2c://app"), spoken("h2://app")], [(false, true), (true, true)]);
        assert_eq!((shown("h2c://app"), shown("h2://app")), ("app:80".to_owned(), "app:443".to_owned()));
        assert_eq!(shown("http://app/"), "app:80");
        assert_eq!(shown("http://[fd00::1]"), "[fd00::1]:80");
        assert_eq!(shown("http://10.0.0.1:81"), "10.0.0.1:81");
        assert_eq!(shown("unix:/run/app.sock"), "unix:/run/app.sock");
    }

    #[test]
    fn bad_backends_say_what_to_write() {
        let remedy = |text| backend(text).unwrap_err().remedy.unwrap();
        assert_eq!(remedy("10.0.0.1"), "write for instance `\"10.0.0.1:8080\"`");
        assert_eq!(remedy("app"), "write for instance `\"app:8080\"`");
        assert_eq!(remedy("fd00::1"), "write for instance `\"[fd00::1]:8080\"`");
        assert!(remedy("h2://app/x").contains("rewrite"));
        assert_eq!(remedy("srv:_http._tcp.app"), "name the servers one by one");
        assert!(remedy("http://app/x").contains("rewrite"));
        for text in ["", ":80", "app:0", "10.0.0.1:0", "app:x", "a b:80", "unix:", "http://", "app:80:80", "ftp://a:1"]
        {
            assert!(backend(text).is_err(), "{text}");
        }
    }
}
