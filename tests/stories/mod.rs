//! One file per part of the product.

mod api;
mod crash;
mod enrolling;
mod held;
mod life;
