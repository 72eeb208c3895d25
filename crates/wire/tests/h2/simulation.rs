//! Flow control from seeds: both ends are ours, windows, bodies and the network's pieces are drawn, and everything must
//! arrive whole, without a deadlock and without a window overrun.

use std::collections::BTreeMap;

use wire::h2::{Config, Connection, Event, Handle, More, RequestLine};

use crate::peer::{RST_STREAM, Side};

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        usize::try_from((mixed ^ mixed >> 27) % bound as u64).expect("below a usize")
    }

    fn window(&mut self) -> u32 {
        let size = [1, 100, 3_000, 16_384, 65_535, 65_536, 300_000][self.below(7)];
        u32::try_from(size + self.below(10)).expect("small")
    }
}

/// Bytes that say whose they are and where.
fn body(id: u32, length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at / 7 + id as usize * 31) % 251).expect("a byte")).collect()
}

/// What is left to send on a stream.
struct Sending {
    body: Vec<u8>,
    sent: usize,
    ended: bool,
}

/// One end and its application.
struct End {
    side: Side,
    /// Bytes that the other end has written and that have not arrived.
    wire: Vec<u8>,
    sending: BTreeMap<u32, (Handle, Sending)>,
    /// Bytes that came and are not consumed.
    held: BTreeMap<u32, (Handle, usize)>,
    complete: BTreeMap<u32, Handle>,
}

impl End {
    fn new(connection: Connection) -> Self {
        Self {
            side: Side::new(connection),
            wire: Vec::new(),
            sending: BTreeMap::new(),
            held: BTreeMap::new(),
            complete: BTreeMap::new(),
        }
    }

    fn send(&mut self, stream: Handle, body: Vec<u8>) {
        self.sending.insert(stream.id, (stream, Sending { body, sent: 0, ended: false }));
        self.write(stream);
    }

    fn write(&mut self, stream: Handle) {
        let Some((_, sending)) = self.sending.get_mut(&stream.id) else { return };
        if sending.ended {
            return;
        }
        let rest = &sending.body[sending.sent..];
        let taken = self.side.connection.put_data(stream, rest, More::Ends, &mut self.side.out).expect("not reset");
        sending.sent += taken;
        sending.ended = sending.sent == sending.body.len();
    }

    /// Some bytes arrive. Returns the requests that did.
    fn arrive(&mut self, bytes: usize) -> Vec<Handle> {
        let piece: Vec<u8> = self.wire.drain(..bytes.min(self.wire.len())).collect();
        let events = self.side.receive(&piece).expect("nobody does wrong");
        let mut begun = Vec::new();
        for event in events {
            let (stream, ends) = match event {
                Event::Head { stream, ends } => {
                    begun.push(stream);
                    (stream, ends)
                }
                Event::Data { stream, range, ends } => {
                    self.held.entry(stream.id).or_insert((stream, 0)).1 += range.len();
                    (stream, ends)
                }
                event => unreachable!("{event:?}"),
            };
            if ends {
                self.complete.insert(stream.id, stream);
            }
        }
        begun
    }

    /// The application takes some of what one stream holds.
    fn consume(&mut self, dice: &mut Dice) {
        if self.held.is_empty() {
            return;
        }
        let at = dice.below(self.held.len());
        let Some((stream, held)) = self.held.values_mut().nth(at) else { return };
        let taken = if dice.below(3) == 0 { *held } else { dice.below(*held + 1) };
        *held -= taken;
        self.side.connection.consumed(*stream, taken, &mut self.side.out);
        self.held.retain(|_, (_, held)| *held > 0);
    }

    fn write_waiting(&mut self) {
        while let Some(stream) = self.side.connection.next_writable() {
            self.write(stream);
        }
    }

    fn is_done(&self) -> bool {
        self.sending.values().all(|(_, sending)| sending.ended) && self.held.is_empty() && self.wire.is_empty()
    }
}

fn run(seed: u64) {
    let mut dice = Dice(seed);
    let mut config = || Config { stream_window: dice.window(), connection_window: dice.window(), ..Config::default() };
    let (one, other) = (config(), config());
    let smallest = one.stream_window.min(other.stream_window) as usize;
    let (mut client, mut server) = (End::new(Connection::client(one)), End::new(Connection::server(other)));
    let count = 1 + dice.below(12);
    let lengths = [0, 1, 300, 20_000, 70_000, 400_000].map(|length: usize| length.min(smallest * 400));
    let lengths: Vec<_> = (0..count).map(|_| lengths[dice.below(6)]).collect();
    let line =
        RequestLine { method: b"POST", scheme: b"http", authority: b"a", path: b"/", query: None, protocol: None };
    let (mut asked, mut steps) = (0, 0_u64);
    while asked < count || !client.is_done() || !server.is_done() || client.complete.len() < count {
        steps += 1;
        assert!(steps < 1_000_000, "seed {seed} does not come to an end");
        // Time passes, so that many small windows are no flood.
        (client.side.now_ms, server.side.now_ms) = (steps * 10, steps * 10);
        match dice.below(6) {
            0 if asked < count => {
                let head = client.side.connection.put_request(&line, &mut client.side.out).expect("room");
                let stream = head.finish(More::Follows);
                client.send(stream, body(stream.id, lengths[asked]));
                asked += 1;
            }
            0 | 1 => client.consume(&mut dice),
            2 => server.consume(&mut dice),
            3 => drop(client.arrive(1 + dice.below(30_000))),
            4 => {
                // Each request is answered with a body of the length of the next one's, at once.
                for stream in server.arrive(1 + dice.below(30_000)) {
                    let head = server.side.connection.put_answer(stream, 200, &mut server.side.out);
                    head.expect("it is there").finish(More::Follows);
                    server.send(stream, body(stream.id + 1, lengths[(stream.id as usize / 2 + 1) % count]));
                }
            }
            _ => {
                client.write_waiting();
                server.write_waiting();
            }
        }
        server.wire.append(&mut client.side.out);
        client.wire.append(&mut server.side.out);
    }
    for at in 0..count {
        let id = u32::try_from(2 * at + 1).expect("small");
        assert_eq!(server.side.bodies.get(&id), Some(&body(id, lengths[at])));
        assert_eq!(client.side.bodies.get(&id), Some(&body(id + 1, lengths[(at + 1) % count])));
    }
    assert_eq!(server.complete.len(), count);
    for end in [&mut client, &mut server] {
        for stream in std::mem::take(&mut end.complete).into_values() {
            end.side.connection.release(stream, &mut end.side.out);
        }
        assert_eq!(end.side.connection.streams(), 0);
        assert!(end.side.written().iter().all(|frame| frame.kind != RST_STREAM), "nothing had to be reset");
    }
}

#[test]
fn bodies_arrive_whole_whatever_the_windows_are() {
    for seed in 0..60 {
        run(seed);
    }
}
