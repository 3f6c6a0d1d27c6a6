//! What the tests of the whole system share: the program, nodes, peers.

pub mod bench;
pub mod city;
pub mod crash;
pub mod disk;
pub mod fuzz;
pub mod java;
pub mod openapi;
pub mod oracle;
pub mod peer;
pub mod program;
pub mod rotation;
pub mod site;
pub mod traffic;
