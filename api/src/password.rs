//! Passwords, hashed by argon2id off the async threads.

use argon2::Argon2;
use argon2::password_hash::PasswordHasher;

/// Why a password was not hashed.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed")]
pub struct HashError;

/// Hashes a password with a salt of its own.
///
/// # Errors
/// Only where the system gives no random bytes or no memory.
pub async fn hash_password(password: String) -> Result<String, HashError> {
    let hashing = tokio::task::spawn_blocking(move || {
        Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string())
    });
    hashing.await.map_err(|_| HashError)?.map_err(|_| HashError)
}
