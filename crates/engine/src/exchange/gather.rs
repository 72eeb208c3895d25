//! Taking a request's body in before a backend is picked, so that a slow client holds neither a place nor a connection.
//!
//! What does not fit is not lost: it goes on as it comes, after what was taken in.

use std::future::poll_fn;
use std::task::{Context, Poll};

use policy::pace;
use policy::plan::{Beyond, Buffer};
use wire::head::{Framing, Span};

use super::attempt::request_cut;
use super::proxied::{Detour, NO_RULES, Proxied};
use super::watch::{Sight, Watch, Woken};
use crate::buffered::Store;
use crate::cause::Cause;
use crate::seam::{AnswerHead, Changes, Downstream, Fill};

/// The reason phrase of our 100.
const CONTINUE: &[u8] = b"Continue";

/// A wait for more of a body.
#[derive(Default)]
struct Wait {
    is_set: bool,
    /// Bytes so far.
    moved: u64,
    watch: Watch,
}

/// How far a body has come in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// To its end.
    Whole,
    /// As far as there was room.
    Part,
}

impl<D: Downstream> Proxied<'_, D> {
    /// What the exchange's route keeps of bodies.
    #[inline]
    pub(super) fn buffer(&self) -> Buffer {
        self.facts.route.map(|id| self.worker.plan.route(id).buffer).unwrap_or_default()
    }

    /// Takes the request's body in, as far as its route says.
    #[cold]
    pub(super) fn gather(&mut self, buffer: Buffer) -> Detour<'_> {
        Box::pin(self.take_in(buffer))
    }

    async fn take_in(&mut self, buffer: Buffer) -> Result<(), Cause> {
        let most = self.bytes_to_take(buffer)?;
        if most == 0 {
            return Ok(());
        }
        if self.down.head().0.expects_continue {
            self.invite().await?;
        }
        let mut store = Store::new(self.worker, most);
        let mut wait = Wait::default();
        let taken = poll_fn(|cx| self.poll_gather(cx, &mut store, &mut wait)).await;
        self.down.timer().clear();
        match taken? {
            Taken::Part if store.room() == 0 && buffer.beyond == Beyond::Refuse => return Err(Cause::BodyTooLarge),
            Taken::Part => self.feed.begin_with(store.into_kept()),
            Taken::Whole => {
                let is_plain = self.down.trailers().fields.is_empty();
                self.feed.begin_with(store.into_kept());
                self.feed.whole = is_plain.then(|| self.feed.kept_bytes());
            }
        }
        Ok(())
    }

    /// Bytes of the body that are to be taken in; 0 if it goes on as it comes.
    fn bytes_to_take(&self, buffer: Buffer) -> Result<usize, Cause> {
        let (request, _) = self.down.head();
        match request.framing {
            _ if !request.upgrade.is_empty() => Ok(0),
            Framing::None => Ok(0),
            Framing::Chunked | Framing::UntilClose => Ok(buffer.request),
            Framing::Length(length) => match (usize::try_from(length), buffer.beyond) {
                (Ok(length), _) if length <= buffer.request => Ok(length),
                (_, Beyond::Stream) => Ok(0),
                (_, Beyond::Refuse) => Err(Cause::BodyTooLarge),
            },
        }
    }

    fn poll_gather(&mut self, cx: &mut Context<'_>, store: &mut Store, wait: &mut Wait) -> Poll<Result<Taken, Cause>> {
        loop {
            let here = self.down.data();
            let n = here.len().min(store.room());
            if n == 0 && !here.is_empty() {
                return Poll::Ready(Ok(Taken::Part));
            }
            if n > 0 {
                if store.push(&here[..n]).is_err() {
                    return Poll::Ready(Ok(Taken::Part));
                }
                self.down.consume(n);
                (wait.is_set, wait.moved) = (false, wait.moved + n as u64);
                continue;
            }
            match self.down.poll_fill(cx) {
                Poll::Ready(Ok(Fill::Data)) => {}
                Poll::Ready(Ok(Fill::End)) => return Poll::Ready(Ok(Taken::Whole)),
                Poll::Ready(Err(cut)) => return Poll::Ready(Err(request_cut(&cut))),
                Poll::Pending => return self.poll_gather_late(cx, wait),
            }
        }
    }

    /// Each byte starts the wait anew; one that comes too slowly ends it all the same.
    fn poll_gather_late(&mut self, cx: &mut Context<'_>, wait: &mut Wait) -> Poll<Result<Taken, Cause>> {
        if !std::mem::replace(&mut wait.is_set, true) {
            let longest = self.worker.client_timeouts(self.down.peer()).body;
            wait.watch.pace.waits_for(Some(pace::Wait::Body));
            wait.watch.stepped(self.down.timer(), longest, self.until);
        }
        while let Poll::Ready(woken) = wait.watch.poll(self.down.timer(), cx) {
            if woken == Woken::Due {
                let late = if self.is_over() { Cause::TotalTimeout } else { Cause::BodyTimeout };
                return Poll::Ready(Err(late));
            }
            let sight = Sight { wait: Some(pace::Wait::Body), moved: wait.moved };
            let seen = wait.watch.look(self.worker, self.down, &sight);
            if seen.is_slow {
                self.down.thrift();
            }
            if let Some(cause) = seen.cause {
                return Poll::Ready(Err(cause));
            }
        }
        Poll::Pending
    }

    /// Tells a client that waits for it to send the body: no backend has been asked yet (RFC 9110, section 10.1.1).
    async fn invite(&mut self) -> Result<(), Cause> {
        self.answer.clear();
        self.answer.status = 100;
        self.answer.reason = Span { start: 0, end: 8 };
        let changes = Changes { rules: &NO_RULES, lines: &[] };
        self.down.interim(&AnswerHead { answer: &self.answer, buf: CONTINUE, changes, request_done: false });
        self.feed.invited = true;
        self.flush_interim().await
    }
}
