//! Passwords: argon2id with a salt of its own each, off the threads that serve, a few at a time.

use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::problem::{Kind, Problem};

/// How many are hashed at once; each takes 19 MiB and a core.
const AT_ONCE: usize = 4;

/// How many wait for a slot at most: more would keep everybody who logs in waiting.
const QUEUE: usize = 32;

/// The fewest characters of a new password.
const FEWEST: usize = 8;

/// The most characters of a new password.
const MOST: usize = 200;

/// Hashes a password, which takes tens of milliseconds; the text holds its parameters and salt.
pub fn hash(password: &str) -> String {
    Argon2::default()
        .hash_password(password.as_bytes())
        .expect("argon2's own parameters and salt are in its bounds")
        .to_string()
}

/// Refuses a new password that is too short, or longer than a hash takes.
pub(super) fn check(field: &str, password: &str) -> Result<(), Problem> {
    if (FEWEST..=MOST).contains(&password.chars().count()) {
        return Ok(());
    }
    Err(Problem::invalid(field, format!("has {FEWEST} to {MOST} characters")))
}

fn matches(password: &str, hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
}

/// Hashes and verifies for handlers.
pub(crate) struct Passwords {
    slots: Semaphore,
    /// Places in the line for a slot, the slots included.
    line: Semaphore,
    /// Belongs to nobody: an unknown address takes as long as a wrong password.
    dummy: String,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            slots: Semaphore::new(AT_ONCE),
            line: Semaphore::new(AT_ONCE + QUEUE),
            dummy: hash("nobody's"),
        }
    }
}

impl Passwords {
    /// Hashes a new password.
    pub(super) async fn hash(&self, password: String) -> Result<String, Problem> {
        self.off_thread(move || hash(&password)).await
    }

    /// Whether the password is the hash's; without a hash it takes as long to say no.
    pub(super) async fn verify(
        &self,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, Problem> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy.clone());
        let matches = self.off_thread(move || matches(&password, &hash)).await?;
        Ok(matches && known)
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let _place = self.line.try_acquire().map_err(|_| {
            let detail = "too many passwords are being checked at the moment; try again soon";
            Problem::new(Kind::Unavailable).detail(detail).retry_after(Duration::from_secs(1))
        })?;
        let _slot = self.slots.acquire().await.expect("the semaphore is never closed");
        spawn_blocking(work).await.map_err(|error| {
            tracing::error!(%error, "a password could not be hashed");
            Problem::new(Kind::Internal)
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use axum::response::IntoResponse;

    use super::{AT_ONCE, Passwords, QUEUE, hash};

    #[tokio::test]
    async fn who_finds_the_line_full_is_sent_away_at_once() {
        let passwords = Passwords::default();
        let all = u32::try_from(AT_ONCE + QUEUE).unwrap();
        let all = passwords.line.acquire_many(all).await.unwrap();
        let refused = passwords.verify("correct horse".into(), None).await.unwrap_err();
        let response = refused.into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
        drop(all);
        assert!(!passwords.verify("correct horse".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only_and_nobody_has_the_dummy() {
        let passwords = Passwords::default();
        let kept = hash("correct horse");
        assert!(kept.starts_with("$argon2id$"));
        assert!(passwords.verify("correct horse".into(), Some(kept.clone())).await.unwrap());
        assert!(!passwords.verify("wrong horse".into(), Some(kept)).await.unwrap());
        assert!(!passwords.verify("nobody's".into(), None).await.unwrap());
    }
}
