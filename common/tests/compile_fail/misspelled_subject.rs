//! A subject that is spelled wrong.

use common::Subjects;

fn main() {
    println!("{}", Subjects::TicketCreate);
}
