//! A circuit: after failures in a row nobody waits for a service that does not answer, and one request at a time
//! looks whether it is back. Pure: instants are handed in.

use std::time::{Duration, Instant};

/// How many failures in a row open it.
const FAILURES: u32 = 5;

/// How long it stays open before a request may probe.
const OPEN_FOR: Duration = Duration::from_secs(5);

/// The state of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Circuit {
    /// Requests go through; the last so many failed. One more opens it where they are enough.
    Closed { failures: u32 },
    /// Requests are refused; the first that comes `OPEN_FOR` later probes.
    Open { since: Instant },
    /// One request probes, others are refused; its end closes or opens it.
    Probing { since: Instant },
}

/// How a request may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    /// Like any other.
    Free,
    /// As the one that looks whether the service is back.
    Probe,
    /// Not at all; to be tried again after this long.
    Refused { wait: Duration },
}

/// How a request that passed ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The service answered, whatever it said.
    Answered,
    /// The service did not answer, or nothing that can be read.
    Failed,
    /// Nobody waits for it any more; that says nothing about the service.
    Abandoned,
}

impl Default for Circuit {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Circuit {
    /// Whether a request may pass.
    pub(super) fn ask(&mut self, now: Instant) -> Passage {
        match *self {
            Self::Closed { .. } => Passage::Free,
            Self::Open { since } => {
                let open_for = now.saturating_duration_since(since);
                match OPEN_FOR.checked_sub(open_for) {
                    Some(wait) if !wait.is_zero() => Passage::Refused { wait },
                    Some(_) | None => {
                        *self = Self::Probing { since };
                        Passage::Probe
                    }
                }
            }
            Self::Probing { .. } => Passage::Refused { wait: Duration::from_secs(1) },
        }
    }

    /// Notes how a request that passed ended. What fails late does not keep an open circuit open for longer.
    pub(super) fn end(&mut self, passage: Passage, end: End, now: Instant) {
        *self = match (*self, end, passage) {
            (_, End::Answered, _) => Self::Closed { failures: 0 },
            (Self::Closed { failures }, End::Failed, _) if failures + 1 >= FAILURES => {
                Self::Open { since: now }
            }
            (Self::Closed { failures }, End::Failed, _) => Self::Closed { failures: failures + 1 },
            (Self::Probing { .. }, End::Failed, Passage::Probe) => Self::Open { since: now },
            // The next one probes at once.
            (Self::Probing { since }, End::Abandoned, Passage::Probe) => Self::Open { since },
            (state, End::Failed | End::Abandoned, _) => state,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Circuit {
        let mut circuit = Circuit::default();
        for _ in 0..FAILURES {
            assert_eq!(circuit.ask(now), Passage::Free);
            circuit.end(Passage::Free, End::Failed, now);
        }
        circuit
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_between_them_does_not_count_with_them() {
        let now = Instant::now();
        let mut circuit = Circuit::default();
        for end in [End::Failed, End::Failed, End::Failed, End::Failed, End::Answered] {
            circuit.end(Passage::Free, end, now);
        }
        circuit.end(Passage::Free, End::Failed, now);
        assert_eq!(circuit, Circuit::Closed { failures: 1 });
        let refused = Passage::Refused { wait: Duration::from_secs(3) };
        assert_eq!(opened(now).ask(now + Duration::from_secs(2)), refused);
    }

    #[test]
    fn one_request_probes_and_its_answer_closes_it() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let later = now + OPEN_FOR;
        assert_eq!(circuit.ask(later), Passage::Probe);
        assert!(matches!(circuit.ask(later), Passage::Refused { .. }), "one probes at a time");
        circuit.end(Passage::Probe, End::Answered, later);
        assert_eq!(circuit.ask(later), Passage::Free);
    }

    #[test]
    fn a_probe_that_fails_opens_it_anew_and_one_that_nobody_awaits_lets_the_next_probe() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let later = now + OPEN_FOR;
        assert_eq!(circuit.ask(later), Passage::Probe);
        circuit.end(Passage::Probe, End::Abandoned, later);
        assert_eq!(circuit.ask(later), Passage::Probe);
        circuit.end(Passage::Free, End::Failed, later);
        assert!(matches!(circuit, Circuit::Probing { .. }), "what fails late is no probe");
        circuit.end(Passage::Probe, End::Failed, later);
        assert_eq!(circuit.ask(later), Passage::Refused { wait: OPEN_FOR });
        assert_eq!(circuit.ask(later + OPEN_FOR), Passage::Probe);
    }
}
