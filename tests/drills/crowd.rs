//! Flash crowds: many more come than can be served, and those who get through notice nothing.

use std::time::Duration;

use crate::harness::{Crowd, Evenkeel, Seen, Server, Setup, figure};

/// Two backends, each with so many places, before which stands a balancer with nothing but its caps written.
struct Shop {
    servers: [Server; 2],
    front: Evenkeel,
    /// Requests a second that can be served.
    capacity: f64,
}

impl Shop {
    fn open(takes: Duration, places: usize) -> Self {
        let servers = [(); 2].map(|()| Server::start(takes, 10_000));
        let list = servers.each_ref().map(|server| server.address.as_str());
        let front = Setup::over(list).workers(2).pool(&format!("max_requests = {places}")).start();
        Self { servers, front, capacity: 2.0 * places as f64 / takes.as_secs_f64() }
    }

    fn visit(&self, clients: usize, share: f64, seconds: u64) -> Seen {
        let (rate, lasts) = (share * self.capacity, Duration::from_secs(seconds));
        Crowd { clients, rate, lasts }.visit(self.front.address())
    }
}

#[test]
fn drill_flash_crowd_of_ten_times_the_capacity_leaves_the_admitted_fast() {
    let (takes, places) = (Duration::from_millis(100), 8);
    let shop = Shop::open(takes, places);
    let calm = shop.visit(64, 0.7, 5);
    let crowd = shop.visit(2_000, 10.0, 10);
    let after = shop.visit(64, 0.7, 5);
    let recovered = after.last_refused().unwrap_or_default();
    let (calm_p99, crowd_p99) = (calm.p99(), crowd.p99());
    figure(&format!(
        "flash crowd, 2,000 clients, ten times the capacity for 10 s: {} admitted, {} refused, {} without an answer; \
         p99 of the admitted {} ms against {} ms in calm ({:.2} times); last refusal {} ms after its end",
        crowd.count(200),
        crowd.count(503),
        crowd.count(0),
        crowd_p99.as_millis(),
        calm_p99.as_millis(),
        crowd_p99.as_secs_f64() / calm_p99.as_secs_f64(),
        recovered.as_millis(),
    ));
    assert_eq!((calm.count(200), crowd.count(0)), (calm.0.len(), 0), "calm is calm, and everybody gets an answer");
    assert!(shop.servers.iter().all(|server| server.most() <= places), "the caps hold");
    let served = crowd.count(200) as f64 / (10.0 * shop.capacity);
    assert!(served > 0.7, "refusals leave no place unused: {served}");
    // A plain queue would have made them wait for seconds. How much less it is, is a figure: the machine may be busy.
    assert!(crowd_p99 < 2 * calm_p99 + Duration::from_millis(700), "{crowd_p99:?} against {calm_p99:?}");
    assert!(recovered < Duration::from_secs(3), "{recovered:?}");
}
