//! One file per part of the product.

mod api;
mod enrolling;
mod life;
