//! The roster: which posts a plan needs, and whom to ring for a backend.

use std::collections::HashMap;
use std::sync::Arc;

use policy::health::Health;
use policy::plan::{Address, Backend, BackendTls, HealthCheck, Plan, Pool, PoolId, ProbeKind, ProxyVersion, Wanted};
use tokio::sync::{Notify, watch};

use super::agent::{News, Round};
use super::once::{Check, Endpoint};
use super::post::{Named, Place, Post, Watched};
use crate::backends::Seat;
use crate::clock::{dice, steady_ms};
use crate::names::{Name, Resolution};

/// Everything to be started for a plan.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    pub(crate) posts: Vec<Post>,
    pub(crate) agents: Vec<Round>,
    /// Names to follow.
    pub(crate) names: HashMap<Name, watch::Sender<Resolution>>,
    /// Backends that nobody watches and that take work at once.
    pub(crate) unwatched: Vec<Seat>,
    pub(crate) bells: Bells,
    index: HashMap<Address, Vec<(Terms, usize)>>,
}

/// The bells of the posts.
#[derive(Debug, Default)]
pub(crate) struct Bells(HashMap<Seat, Arc<Notify>>);

impl Bells {
    /// Asks for a probe at once; a backend without a check has nobody to ask.
    pub(crate) fn ring(&self, seat: Seat) {
        if let Some(bell) = self.0.get(&seat) {
            bell.notify_one();
        }
    }
}

/// Backends with the same address and equal terms share a post.
#[derive(Debug, PartialEq, Eq)]
struct Terms {
    check: Option<HealthCheck>,
    /// Only where the probe sends it.
    host: Option<String>,
    send_proxy: Option<ProxyVersion>,
    tls: Option<BackendTls>,
    /// Over HTTP/2, by this scheme.
    http2: Option<&'static str>,
}

impl Roster {
    /// The posts of a plan.
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut roster = Self::default();
        for (pool, id) in plan.pools.iter().zip((0..).map(PoolId)) {
            for backend in 0..pool.backends.len() {
                roster.add(pool, Seat { pool: id, backend });
            }
        }
        roster
    }

    fn add(&mut self, pool: &Pool, seat: Seat) {
        let backend = &pool.backends[seat.backend];
        match (&pool.health, &backend.address) {
            // A server that its operator has switched off is left alone.
            _ if backend.state == Wanted::Down => {}
            (None, Address::Ip(_) | Address::Unix(_)) => self.unwatched.push(seat),
            (None, Address::Name(..)) | (Some(_), _) => self.watch(pool, backend, seat),
        }
    }

    fn watch(&mut self, pool: &Pool, backend: &Backend, seat: Seat) {
        let health = Health::new(pool.health.as_ref(), backend.state, steady_ms()).with_slow_start(pool.slow_start);
        let watched = Watched { seat, health };
        let post = self.post_of(pool, backend, seat);
        self.bells.0.insert(seat, Arc::clone(&self.posts[post].bell));
        self.posts[post].watched.push(watched);
    }

    fn post_of(&mut self, pool: &Pool, backend: &Backend, seat: Seat) -> usize {
        let (terms, address) = (Terms::of(pool, backend), &backend.address);
        let known = self.index.get(address).and_then(|posts| posts.iter().find(|(other, _)| *other == terms));
        if let Some((_, post)) = known {
            return *post;
        }
        let post = self.posts.len();
        let agent = pool.health.as_ref().and_then(|check| self.agent(check, seat));
        let new = Post {
            place: self.place(address),
            agent,
            check: pool.health.as_ref().map(|check| check_of(pool, check, (backend, seat))),
            watched: Vec::new(),
            bell: Arc::default(),
            rng: dice(post),
        };
        self.posts.push(new);
        self.index.entry(address.clone()).or_default().push((terms, post));
        post
    }

    /// Has the agent of a check asked.
    fn agent(&mut self, check: &HealthCheck, seat: Seat) -> Option<watch::Receiver<News>> {
        let agent = check.agent.clone()?;
        let (sender, news) = watch::channel(News::None);
        let rng = dice(self.agents.len());
        self.agents.push(Round { agent, patience: check.timeout, seat, news: sender, rng });
        Some(news)
    }

    fn place(&mut self, address: &Address) -> Place {
        match address {
            Address::Ip(addr) => Place::Fixed(Endpoint::Tcp(*addr)),
            Address::Unix(path) => Place::Fixed(Endpoint::Unix(path.clone())),
            Address::Name(host, port) => {
                let name = Name { host: host.clone(), port: *port };
                let sender = self.names.entry(name).or_insert_with(|| watch::channel(Resolution::Pending).0);
                Place::Named(Named { answers: sender.subscribe(), chosen: None })
            }
        }
    }
}

impl Terms {
    fn of(pool: &Pool, backend: &Backend) -> Self {
        let asks = pool.health.as_ref().is_some_and(|check| match &check.kind {
            ProbeKind::Tcp | ProbeKind::Talk(_) => false,
            ProbeKind::Alive | ProbeKind::Grpc { .. } => true,
            ProbeKind::Http(question) => question.host.is_none(),
        });
        Self {
            check: pool.health.clone(),
            host: pool.host.clone().filter(|_| asks),
            send_proxy: pool.send_proxy.filter(|_| pool.health.is_some()),
            tls: pool.tls.clone().filter(|_| backend.tls && pool.health.is_some()),
            http2: scheme_over_http2(backend).filter(|_| pool.health.is_some()),
        }
    }
}

fn scheme_over_http2(backend: &Backend) -> Option<&'static str> {
    backend.http2.then_some(if backend.tls { "https" } else { "http" })
}

fn check_of(pool: &Pool, check: &HealthCheck, (backend, seat): (&Backend, Seat)) -> Check {
    let of_check = match &check.kind {
        ProbeKind::Http(question) => question.host.clone(),
        ProbeKind::Tcp | ProbeKind::Talk(_) | ProbeKind::Alive | ProbeKind::Grpc { .. } => None,
    };
    Check {
        kind: check.kind.clone(),
        port: check.port,
        timeout: check.timeout,
        host: of_check
            .or_else(|| pool.host.clone())
            .unwrap_or_else(|| host_of(&asked(&backend.address, check.port), usual_port(backend))),
        send_proxy: pool.send_proxy,
        tls: backend.tls.then_some(seat),
        http2: scheme_over_http2(backend),
    }
}

/// Where the probe goes.
fn asked(address: &Address, port: Option<u16>) -> Address {
    match (address, port) {
        (Address::Ip(addr), Some(port)) => Address::Ip((addr.ip(), port).into()),
        (Address::Name(host, _), Some(port)) => Address::Name(host.clone(), port),
        _ => address.clone(),
    }
}

fn usual_port(backend: &Backend) -> u16 {
    if backend.tls { 443 } else { 80 }
}

/// What a client would send that had typed the address (RFC 9110, section 7.2).
fn host_of(address: &Address, usual_port: u16) -> String {
    match address {
        Address::Ip(addr) if addr.port() == usual_port => match addr.ip() {
            std::net::IpAddr::V4(ip) => ip.to_string(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        },
        Address::Name(host, port) if *port == usual_port => host.clone(),
        Address::Ip(_) | Address::Name(..) => address.to_string(),
        Address::Unix(_) => "localhost".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use policy::plan::{Agent, Question};

    use super::*;
    use crate::samples::{check, plan, pool};

    fn seat(pool: u32, backend: usize) -> Seat {
        Seat { pool: PoolId(pool), backend }
    }

    #[test]
    fn same_address_and_check_share_a_post() {
        let (mut a, mut b, mut c) = (pool("a", 2), pool("b", 2), pool("c", 1));
        a.health = Some(check(ProbeKind::Alive));
        b.health = Some(check(ProbeKind::Alive));
        c.health = Some(check(ProbeKind::Tcp));
        let roster = Roster::new(&plan(vec![a, b, c]));
        let seats: Vec<Vec<Seat>> =
            roster.posts.iter().map(|post| post.watched.iter().map(|watched| watched.seat).collect()).collect();
        assert_eq!(seats, [vec![seat(0, 0), seat(1, 0)], vec![seat(0, 1), seat(1, 1)], vec![seat(2, 0)]]);
    }

    #[test]
    fn another_host_is_another_question() {
        let (mut a, mut b) = (pool("a", 1), pool("b", 1));
        (a.health, b.health) = (Some(check(ProbeKind::Alive)), Some(check(ProbeKind::Alive)));
        b.host = Some("shop.example".to_owned());
        let roster = Roster::new(&plan(vec![a, b]));
        let hosts: Vec<_> = roster.posts.iter().map(|post| post.check.as_ref().unwrap().host.as_str()).collect();
        assert_eq!(hosts, ["127.0.0.1:1000", "shop.example"]);
    }

    #[test]
    fn connect_probes_do_not_care_for_the_host() {
        let (mut a, mut b) = (pool("a", 1), pool("b", 1));
        (a.health, b.health) = (Some(check(ProbeKind::Tcp)), Some(check(ProbeKind::Tcp)));
        b.host = Some("shop.example".to_owned());
        assert_eq!(Roster::new(&plan(vec![a, b])).posts.len(), 1);
    }

    #[test]
    fn each_difference_of_terms_is_a_post_of_its_own() {
        let question = |path: &str| ProbeKind::Http(Box::new(Question::get(path)));
        let with = |change: fn(&mut HealthCheck)| {
            let mut check = check(ProbeKind::Http(Box::new(Question::get("/"))));
            change(&mut check);
            check
        };
        let checks = [
            with(|_| {}),
            with(|_| {}),
            check(question("/deep")),
            with(|check| check.port = Some(81)),
            with(|check| check.fall = 9),
            with(|check| check.start_up = Duration::from_secs(1)),
            with(|check| check.agent = Some(Agent { port: 82, interval: Duration::from_secs(1) })),
        ];
        let pools = checks.into_iter().map(|check| Pool { health: Some(check), ..pool("a", 1) });
        let roster = Roster::new(&plan(pools.collect()));
        let sizes: Vec<usize> = roster.posts.iter().map(|post| post.watched.len()).collect();
        assert_eq!(sizes, [2, 1, 1, 1, 1, 1]);
        assert_eq!((roster.agents.len(), roster.agents[0].seat), (1, seat(6, 0)));
        assert_eq!(roster.posts[2].check.as_ref().unwrap().host, "127.0.0.1:81");
    }

    #[test]
    fn host_of_the_check_is_stronger_than_the_pools() {
        let (mut a, mut b) = (pool("a", 1), pool("b", 1));
        let question = Question { host: Some("probe.example".to_owned()), ..Question::get("/") };
        a.health = Some(check(ProbeKind::Http(Box::new(question))));
        b.health.clone_from(&a.health);
        b.host = Some("shop.example".to_owned());
        let roster = Roster::new(&plan(vec![a, b]));
        assert_eq!(roster.posts.len(), 1);
        assert_eq!(roster.posts[0].check.as_ref().unwrap().host, "probe.example");
    }

    #[test]
    fn without_a_check_only_names_are_watched() {
        let mut pool = pool("a", 2);
        pool.backends[1].address = Address::Name("app.internal".to_owned(), 80);
        let roster = Roster::new(&plan(vec![pool]));
        assert_eq!(roster.unwatched, [seat(0, 0)]);
        assert_eq!(roster.posts.len(), 1);
        assert!(roster.posts[0].check.is_none());
        assert_eq!(roster.names.len(), 1);
    }

    #[test]
    fn one_name_is_followed_once() {
        let (mut a, mut b) = (pool("a", 1), pool("b", 1));
        a.backends[0].address = Address::Name("app.internal".to_owned(), 80);
        b.backends[0].address = Address::Name("app.internal".to_owned(), 80);
        b.health = Some(check(ProbeKind::Tcp));
        let roster = Roster::new(&plan(vec![a, b]));
        assert_eq!((roster.posts.len(), roster.names.len()), (2, 1));
    }

    #[test]
    fn switched_off_is_left_alone_and_drained_is_watched() {
        let mut pool = pool("a", 2);
        pool.health = Some(check(ProbeKind::Alive));
        pool.backends[0].state = Wanted::Down;
        pool.backends[1].state = Wanted::Drained;
        let roster = Roster::new(&plan(vec![pool]));
        assert_eq!(roster.posts.len(), 1);
        assert_eq!(roster.posts[0].watched[0].seat, seat(0, 1));
        roster.bells.ring(seat(0, 0));
    }

    #[test]
    fn host_is_what_a_client_would_send() {
        let host = |address: Address| host_of(&address, 80);
        assert_eq!(host(Address::Ip("192.0.2.1:80".parse().unwrap())), "192.0.2.1");
        assert_eq!(host(Address::Ip("[2001:db8::1]:80".parse().unwrap())), "[2001:db8::1]");
        assert_eq!(host(Address::Ip("[2001:db8::1]:8080".parse().unwrap())), "[2001:db8::1]:8080");
        assert_eq!(host(Address::Name("app".to_owned(), 8080)), "app:8080");
        assert_eq!(host(Address::Unix("/run/app.sock".into())), "localhost");
    }
}
