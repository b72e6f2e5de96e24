//! ring's signatures for the crate of JSON web tokens, which brings no cryptography of its own: HS256, EdDSA, RS256.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ED25519, Ed25519KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
    UnparsedPublicKey, VerificationAlgorithm,
};

/// Signs and verifies by these three and nothing else.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes it the process's; a second call changes nothing.
pub(crate) fn install() {
    if PROVIDER.install_default().is_err() {
        tracing::trace!("the provider stands already");
    }
}

enum Private {
    Secret(hmac::Key),
    Edwards(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

enum Public {
    Secret(hmac::Key),
    Key(Algorithm, UnparsedPublicKey<Vec<u8>>),
}

fn unusable() -> Error {
    Error::from(ErrorKind::InvalidKeyFormat)
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    let bytes = key.as_bytes();
    let key = if *algorithm == Algorithm::HS256 {
        Private::Secret(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    } else if *algorithm == Algorithm::EdDSA {
        Private::Edwards(Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).map_err(|_| unusable())?)
    } else if *algorithm == Algorithm::RS256 {
        Private::Rsa(RsaKeyPair::from_pkcs8(bytes).map_err(|_| unusable())?)
    } else {
        return Err(Error::from(ErrorKind::InvalidAlgorithm));
    };
    Ok(Box::new(key))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let bytes = key.try_get_as_bytes()?;
    let by = |with: &'static dyn VerificationAlgorithm| {
        Public::Key(*algorithm, UnparsedPublicKey::new(with, bytes.to_vec()))
    };
    let key = if *algorithm == Algorithm::HS256 {
        Public::Secret(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    } else if *algorithm == Algorithm::EdDSA {
        by(&ED25519)
    } else if *algorithm == Algorithm::RS256 {
        by(&RSA_PKCS1_2048_8192_SHA256)
    } else {
        return Err(Error::from(ErrorKind::InvalidAlgorithm));
    };
    Ok(Box::new(key))
}

impl Signer<Vec<u8>> for Private {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        match self {
            Self::Secret(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Self::Edwards(key) => Ok(key.sign(message).as_ref().to_vec()),
            Self::Rsa(key) => {
                let mut signed = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signed)
                    .map_err(|_| signature::Error::new())?;
                Ok(signed)
            }
        }
    }
}

impl JwtSigner for Private {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Secret(_) => Algorithm::HS256,
            Self::Edwards(_) => Algorithm::EdDSA,
            Self::Rsa(_) => Algorithm::RS256,
        }
    }
}

impl Verifier<Vec<u8>> for Public {
    fn verify(&self, message: &[u8], tag: &Vec<u8>) -> Result<(), signature::Error> {
        let verified = match self {
            Self::Secret(key) => hmac::verify(key, message, tag),
            Self::Key(_, key) => key.verify(message, tag),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Public {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Secret(_) => Algorithm::HS256,
            Self::Key(algorithm, _) => *algorithm,
        }
    }
}
