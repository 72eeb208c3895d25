//! The real binary against real backends and raw clients. Names say the rule; the harness says how.

#[cfg(test)]
mod bad_answers;
#[cfg(test)]
mod bad_requests;
#[cfg(test)]
mod balancing;
#[cfg(test)]
mod blocks;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod breaker;
#[cfg(test)]
mod buffering;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod connection_caps;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod drills;
#[cfg(test)]
mod ejection;
#[cfg(test)]
mod forwarding;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod health;
#[cfg(test)]
mod hedging;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod interim;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod own_answers;
#[cfg(test)]
mod pauses;
#[cfg(test)]
mod queues;
#[cfg(test)]
mod rates;
#[cfg(test)]
mod retries;
#[cfg(test)]
mod routing;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod smuggling;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod timeouts;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tunnels;
