use policy::plan::{Address, Plan, Pool, ProbeKind, Wanted};

use super::*;
use crate::samples::{Server, backend, check, plan, pool};

const SEAT: Seat = Seat { pool: PoolId(0), backend: 0 };

fn desk(plan: Plan) -> Arc<Desk> {
    let plan = Arc::new(plan);
    let shared = engine::Shared::new(&plan, 1);
    let passive = Passive::new(&plan, crate::clock::Clock::start());
    let backends = Arc::new(Backends::new(plan, Arc::clone(&shared)));
    backends.expect_first_looks(1);
    let untried_told_ms = AtomicU64::new(0);
    Arc::new(Desk { backends, engine: Arc::default(), shared, turns: Semaphore::new(1), untried_told_ms, passive })
}

/// One backend with a name, and the post that watches it.
struct Scene {
    desk: Arc<Desk>,
    answers: watch::Sender<Resolution>,
    bell: Arc<Notify>,
}

fn scene(kind: Option<ProbeKind>) -> Scene {
    let health = kind.map(|kind| {
        let mut check = check(kind);
        check.interval = Duration::from_secs(1_000_000);
        check
    });
    let backend = backend(Address::Name("app.internal".to_owned(), 80));
    let pool = Pool { backends: vec![backend], health: health.clone(), ..pool("app", 0) };
    let desk = desk(plan(vec![pool]));
    let (answers, receiver) = watch::channel(Resolution::Pending);
    let check = health.as_ref().map(|health| Check {
        kind: health.kind.clone(),
        port: None,
        timeout: health.timeout,
        host: "app.internal".to_owned(),
        send_proxy: None,
        tls: None,
        http2: None,
    });
    let post = Post {
        place: Place::Named(Named { answers: receiver, chosen: None }),
        check,
        watched: vec![Watched { seat: SEAT, health: Health::new(health.as_ref(), Wanted::Ready, 0) }],
        agent: None,
        bell: Arc::default(),
        rng: Rng::new(1),
    };
    let bell = Arc::clone(&post.bell);
    tokio::spawn(post.keep(Arc::clone(&desk)));
    Scene { desk, answers, bell }
}

impl Scene {
    fn resolves_to(&self, addresses: &[SocketAddr]) {
        self.answers.send_replace(Resolution::Found(addresses.to_vec()));
    }

    fn resolved(&self) -> Option<SocketAddr> {
        self.desk.shared.pools[0].backends[0].resolved()
    }

    fn standing(&self) -> Standing {
        self.desk.shared.pools[0].backends[0].standing()
    }

    fn reason(&self) -> String {
        self.desk.backends.records()[0][0].reason.clone()
    }
}

/// Waits for a condition without holding the runtime up.
async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), waiting).await.is_ok(), "never: {what}");
}

fn closed_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn address_that_passes_is_chosen_and_kept() {
    let (server, scene) = (Server::start(200), scene(Some(ProbeKind::Alive)));
    let dead = closed_port();
    scene.resolves_to(&[dead, server.addr]);
    eventually("ready", || scene.standing() == Standing::Ready).await;
    assert_eq!(scene.resolved(), Some(server.addr));

    // The one that passed is asked first from now on: a better-placed newcomer does not move the backend.
    let newcomer = Server::start(200);
    scene.resolves_to(&[newcomer.addr, server.addr]);
    eventually("another probe", || server.seen() == 2).await;
    assert_eq!((scene.resolved(), newcomer.seen()), (Some(server.addr), 0));
}

#[tokio::test]
async fn backend_moves_with_its_name_at_once() {
    let (old, new, scene) = (Server::start(200), Server::start(200), scene(Some(ProbeKind::Alive)));
    scene.resolves_to(&[old.addr]);
    eventually("the old address", || scene.resolved() == Some(old.addr)).await;
    scene.resolves_to(&[new.addr]);
    eventually("the new address", || scene.resolved() == Some(new.addr)).await;
    assert_eq!(scene.standing(), Standing::Ready);
}

#[tokio::test]
async fn backend_that_passes_nowhere_has_an_address_all_the_same() {
    let scene = scene(Some(ProbeKind::Alive));
    let dead = [closed_port(), closed_port()];
    scene.resolves_to(&dead);
    eventually("out", || scene.standing() == Standing::Out).await;
    assert_eq!(scene.resolved(), Some(dead[0]));
    assert!(scene.reason().contains("connection refused"), "{}", scene.reason());
}

#[tokio::test]
async fn unchecked_name_is_out_until_it_resolves() {
    let scene = scene(None);
    scene.answers.send_replace(Resolution::Failed("app.internal: unknown".to_owned()));
    eventually("out", || scene.standing() == Standing::Out).await;
    assert!(scene.reason().contains("app.internal: unknown"), "{}", scene.reason());
    assert!(scene.desk.backends.first_round_done());
    let addr = closed_port();
    scene.resolves_to(&[addr]);
    eventually("ready", || scene.standing() == Standing::Ready).await;
    assert_eq!(scene.resolved(), Some(addr));
}

#[tokio::test]
async fn bell_rung_all_the_time_is_heard_ten_times_a_second() {
    let (server, scene) = (Server::start(200), scene(Some(ProbeKind::Alive)));
    scene.resolves_to(&[server.addr]);
    eventually("ready", || scene.standing() == Standing::Ready).await;
    let began = Instant::now();
    eventually("five more probes", || {
        scene.bell.notify_one();
        server.seen() >= 6
    })
    .await;
    assert!(began.elapsed() >= SHORTEST_PAUSE * 4, "{:?}", began.elapsed());
}

#[tokio::test]
async fn standing_changes_the_epoch_once() {
    let (server, scene) = (Server::start(200), scene(Some(ProbeKind::Alive)));
    scene.resolves_to(&[server.addr]);
    eventually("ready", || scene.standing() == Standing::Ready).await;
    let epoch = || scene.desk.shared.pools[0].epoch.load(Ordering::Acquire);
    let before = epoch();
    // Once the third probe runs, the second has been judged.
    for probes in 2..4 {
        scene.bell.notify_one();
        eventually("another probe", || server.seen() == probes).await;
    }
    assert_eq!(epoch(), before);
}

#[test]
fn own_exhaustion_changes_nothing() {
    let desk = desk(plan(vec![pool("app", 1)]));
    let mut post = Post {
        place: Place::Fixed(Endpoint::Tcp(closed_port())),
        check: None,
        watched: vec![Watched { seat: SEAT, health: Health::new(None, Wanted::Ready, 0) }],
        agent: None,
        bell: Arc::default(),
        rng: Rng::new(1),
    };
    post.learn(&desk, &Outcome::Untried("too many open files".to_owned()));
    assert!(desk.backends.events_after(0).is_empty());
}

#[test]
fn posts_spread_over_an_interval_after_the_first_round() {
    let check = check(ProbeKind::Alive);
    let mut post = Post {
        place: Place::Fixed(Endpoint::Tcp(closed_port())),
        check: Some(Check {
            kind: ProbeKind::Alive,
            port: None,
            timeout: check.timeout,
            host: String::new(),
            send_proxy: None,
            tls: None,
            http2: None,
        }),
        watched: vec![Watched { seat: SEAT, health: Health::new(Some(&check), Wanted::Ready, 0) }],
        agent: None,
        bell: Arc::default(),
        rng: Rng::new(1),
    };
    post.watched[0].health.probe_passed(0);
    let pauses: Vec<Duration> = (0..1000).filter_map(|_| post.pause(Round::First)).collect();
    let early = pauses.iter().filter(|pause| **pause < check.interval / 2).count();
    assert!((400..600).contains(&early), "{early}");
    assert!((0..1000).all(|_| post.pause(Round::Later).unwrap() >= check.interval * 8 / 10));
}
