//! The bridge under model checkers: `run`, in the folder of this package, builds and runs it.

fn main() {
    println!("built without a model checker: see tests/models/run");
}
