//! Flash crowds: many more come than can be served, and those who get through notice nothing.

use std::time::Duration;

use crate::harness::{Connections, Crowd, Evenkeel, Seen, Setup, TimedServer, figure, long_run, peak_kib, skip};

/// Two backends, each with so many places, before which stands a balancer with nothing but its caps written.
struct Shop {
    servers: [TimedServer; 2],
    front: Evenkeel,
    /// What a request takes.
    takes: Duration,
    /// Requests a second that can be served.
    capacity: f64,
}

impl Shop {
    /// Each of two servers serves so many at once, and lets more wait inside.
    fn open(takes: Duration, places: usize, pool: &str) -> Self {
        let servers = [(); 2].map(|()| TimedServer::start(takes, places));
        let list = servers.each_ref().map(|server| server.address.as_str());
        let front = Setup::over(list).workers(2).pool(pool).start();
        Self { servers, front, takes, capacity: 2.0 * places as f64 / takes.as_secs_f64() }
    }

    fn visit(&self, clients: usize, share: f64, seconds: u64) -> Seen {
        let (rate, lasts) = (share * self.capacity, Duration::from_secs(seconds));
        Crowd { clients, rate, lasts, connections: Connections::Keep }.visit(self.front.address())
    }
}

/// Calm, then ten times what can be served, then calm again; and what of it is to be seen.
fn ten_times(shop: &Shop, name: &str) {
    let calm = shop.visit(64, 0.7, 10);
    let crowd = shop.visit(2_000, 10.0, 15);
    let after = shop.visit(64, 0.7, 5);
    let (calm_p99, crowd_p99) = (calm.p99(), crowd.p99());
    let recovered = after.last_refused().unwrap_or_default();
    let served = crowd.count(200) as f64 / (15.0 * shop.capacity);
    figure(&format!(
        "{name}, 2,000 clients, ten times the capacity for 15 s: {} admitted ({:.0} % of what can be served), {} refused, \
         {} without an answer; p99 of the admitted {} ms against {} ms in calm ({:.2} times); last refusal {} ms after its end",
        crowd.count(200),
        100.0 * served,
        crowd.count(503),
        crowd.count(0),
        crowd_p99.as_millis(),
        calm_p99.as_millis(),
        crowd_p99.as_secs_f64() / calm_p99.as_secs_f64(),
        recovered.as_millis(),
    ));
    assert_eq!((calm.count(0), crowd.count(0)), (0, 0), "everybody gets an answer");
    if calm_p99 > 3 * shop.takes {
        return figure(&format!("{name}: the machine was too busy for a judgement"));
    }
    assert_eq!(calm.count(200), calm.0.len(), "calm is calm");
    assert!(served > 0.7, "refusals leave no place unused: {served}");
    // A plain queue would have made them wait for seconds. How much less it is, is a figure: the machine may be busy.
    assert!(crowd_p99 < 2 * calm_p99 + Duration::from_millis(700), "{crowd_p99:?} against {calm_p99:?}");
    assert!(recovered < Duration::from_secs(3), "{recovered:?}");
}

#[test]
fn drill_flash_crowd_of_ten_times_the_capacity_leaves_the_admitted_fast() {
    let shop = Shop::open(Duration::from_millis(100), 8, "max_requests = 8");
    ten_times(&shop, "flash crowd");
    assert!(shop.servers.iter().all(|server| server.most() <= 8), "the caps hold");
}

#[test]
fn drill_flash_crowd_before_caps_that_find_themselves() {
    let shop = Shop::open(Duration::from_millis(100), 8, "max_requests = \"auto\"");
    ten_times(&shop, "flash crowd, max_requests = \"auto\"");
    let caps: Vec<u64> = shop.front.backends("max_requests").iter().filter_map(serde_json::Value::as_u64).collect();
    figure(&format!(
        "flash crowd, max_requests = \"auto\": caps of {caps:?} were found for backends that serve 8 at once"
    ));
    assert!(caps.iter().all(|cap| (4..=24).contains(cap)), "{caps:?}");
}

#[test]
fn drill_fifty_thousand_clients_at_a_thousand_times_the_normal_rate() {
    let name = "50,000 clients at a thousand times the normal rate";
    if !long_run() {
        return skip(name, "only in ./test --long");
    }
    // Of 1,600 requests a second that the backends can serve, 10 are normal.
    let shop = Shop::open(Duration::from_millis(100), 80, "max_requests = 80");
    let normal = shop.visit(64, 10.0 / shop.capacity, 20);
    // Each comes anew for each request: so many connections at once would be more descriptors than a test may have.
    let lasts = Duration::from_secs(60);
    let crowd = Crowd { clients: 50_000, rate: 10_000.0, lasts, connections: Connections::Close };
    let crowd = crowd.visit(shop.front.address());
    let after = shop.visit(64, 10.0 / shop.capacity, 20);
    let status = shop.front.status();
    let (queue, process) = (&status["pools"][0]["queue"], &status["process"]);
    figure(&format!(
        "{name}: {} requests in 60 s, {} admitted, {} refused (by the queue {}, by the node {}), {} without an answer ({} over limits.connections); p99 of \
         the admitted {} ms against {} ms; last refusal {} ms after its end; {} MiB",
        crowd.0.len(),
        crowd.count(200),
        crowd.count(503),
        queue["shed"].as_u64().unwrap() + queue["full"].as_u64().unwrap(),
        process["overload"]["shed"],
        crowd.count(0),
        status["listeners"][0]["over_limit"],
        crowd.p99().as_millis(),
        normal.p99().as_millis(),
        after.last_refused().unwrap_or_default().as_millis(),
        peak_kib(shop.front.pid()) / 1024,
    ));
    assert_eq!(normal.count(200), normal.0.len());
    assert!(crowd.count(200) > 10_000, "{}", crowd.count(200));
    let recovered = after.last_refused().unwrap_or_default();
    assert!(recovered < Duration::from_secs(10), "{recovered:?}");
}
