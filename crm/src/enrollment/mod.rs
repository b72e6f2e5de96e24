//! Enrollments: a contact's run of a sequence. Owns `enrollments`. The id is the run's, and the state is
//! the run's: it is read through the engine, never copied, until the engine forgets the run.

mod control;
mod enroll;
mod forget;
mod reach;
mod read;

pub(crate) use control::{Told, What, erase, exit_all, tell};
pub use control::{act, end_all};
pub use enroll::{
    DOMAIN_LIMIT, EnrollError, EnrollReport, NewEnrollments, RefusalReason, Refused, Sender,
    choose_mailbox, enroll,
};
pub(crate) use enroll::{Zones, domain};
pub(crate) use forget::forget;
pub(crate) use reach::reached_by;
pub use reach::{OrderedBy, OrderedRuns, preview, reached};
pub use read::{Enrollment, Filter, find, list};
