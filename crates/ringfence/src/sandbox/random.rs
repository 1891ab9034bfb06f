//! Random numbers: the host's, or the same in every run.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::policy;

/// Where one run draws its random numbers.
pub enum Random {
    /// The system's generator.
    Real,
    /// A stream that depends on the seed alone.
    Seeded(Box<ChaCha12Rng>),
}

impl Random {
    /// A source as granted.
    pub fn new(grant: policy::Random) -> Self {
        match grant {
            policy::Random::Real => Self::Real,
            policy::Random::Seed(seed) => Self::Seeded(Box::new(ChaCha12Rng::seed_from_u64(seed))),
        }
    }

    /// Fills a buffer; the system's generator may fail, and then nothing is made up instead.
    pub fn fill(&mut self, buffer: &mut [u8]) -> Result<(), getrandom::Error> {
        match self {
            Self::Real => getrandom::fill(buffer),
            Self::Seeded(stream) => {
                stream.fill_bytes(buffer);
                Ok(())
            }
        }
    }
}
