//! `micro CASE N`: prepares a case and runs it N times, for a tool that counts instructions. `micro` alone lists the
//! cases. What preparing costs is the same for every N, so that a difference of two runs leaves it out.

mod encode;
mod h2;
mod parse;
mod pick;
mod route;

use std::process::ExitCode;

/// Runs its argument's number of times.
type Run = Box<dyn FnMut(u64)>;

/// Something to count.
struct Case {
    name: &'static str,
    about: &'static str,
    prepare: fn() -> Run,
}

const fn case(name: &'static str, about: &'static str, prepare: fn() -> Run) -> Case {
    Case { name, about, prepare }
}

const CASES: &[Case] = &[
    case("parse-curl", "parse a request head as curl sends it", parse::curl),
    case("parse-browser", "parse a request head as a browser sends it", parse::browser),
    case("parse-answer", "parse an answer head of ten fields", parse::answer),
    case("encode-answer", "write an answer head of six fields", encode::answer),
    case("h2-curl", "HTTP/2: a request as curl sends it, an answer of nine fields and 1 KiB", h2::curl),
    case("h2-browser", "HTTP/2: the same for a browser's request, its lines in the table", h2::browser),
    case("h2-literals", "HTTP/2: the same with ten Huffman literals that go into the table", h2::literals),
    case("route-1", "route: one default pool", route::one),
    case("route-1000", "route: 1,000 paths of one host", route::thousand_paths),
    case("route-10000-hosts", "route: 10,000 hosts", route::ten_thousand_hosts),
    case("pick-round-robin", "pick of 1,000: round-robin", pick::round_robin),
    case("pick-random", "pick of 1,000: random", pick::random),
    case("pick-least-requests", "pick of 1,000: least-requests", pick::least_requests),
    case("pick-power-of-two", "pick of 1,000: power-of-two", pick::power_of_two),
    case("pick-peak-ewma", "pick of 1,000: peak-ewma", pick::peak_ewma),
    case("pick-ip-hash", "pick of 1,000: ip-hash", pick::ip_hash),
    case("pick-hash-bounded", "pick of 1,000: hash, bounded 1.25", pick::hash_bounded),
    case("pick-maglev", "pick of 1,000: maglev", pick::maglev),
    case("pick-first", "pick of 1,000: first", pick::first),
    case("change-ip-hash", "one of 1,000 goes or comes, and a pick: ip-hash", pick::change_ip_hash),
    case("change-maglev", "one of 1,000 goes or comes, and a pick: maglev", pick::change_maglev),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let found = arguments.first().and_then(|name| CASES.iter().find(|case| case.name == name));
    match (found, arguments.get(1).and_then(|count| count.parse().ok())) {
        (Some(case), Some(count)) => {
            (case.prepare)()(count);
            ExitCode::SUCCESS
        }
        _ => {
            for case in CASES {
                println!("{}\t{}", case.name, case.about);
            }
            if arguments.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) }
        }
    }
}
