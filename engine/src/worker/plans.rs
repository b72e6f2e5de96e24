//! The pinned plans of a connection that claims or records. A plan that was made while the tables were nearly
//! empty walks them, and stays until the tables are analyzed: after a bulk start on a fresh database, a minute.

use std::time::{Duration, Instant};

use sqlx::{Executor, PgConnection};

use crate::clock;

/// How long no batch takes with a right plan on a machine that is well.
const SLOW: Duration = Duration::from_millis(50);
/// How often plans are made anew at the most: it takes milliseconds.
const PAUSE: Duration = Duration::from_secs(1);

/// By how many times more rows a plan has served, it is made anew.
const GROWTH: usize = 10;
const FIRST: usize = 50;

/// When the plans of a connection were last thrown away, and how many rows it has moved.
pub(super) struct Plans {
    thrown_away_at: Option<Instant>,
    rows: usize,
    next: usize,
}

impl Plans {
    pub(super) fn new() -> Self {
        Self { thrown_away_at: None, rows: 0, next: FIRST }
    }

    /// After a batch of so many rows that took so long: lets its statements be planned anew, by the size that the
    /// tables have now, where that may help.
    pub(super) async fn look(
        &mut self,
        connection: &mut PgConnection,
        rows: usize,
        took: Duration,
    ) -> Result<(), sqlx::Error> {
        self.rows += rows;
        let rested = self.thrown_away_at.is_none_or(|at| at.elapsed() >= PAUSE);
        if self.rows >= self.next {
            self.next = self.rows * GROWTH;
        } else if took < SLOW || !rested {
            return Ok(());
        }
        self.thrown_away_at = Some(clock::started());
        connection.execute("discard plans").await?;
        Ok(())
    }
}
