//! x
fn main() {
    print!("{}", journal_schema::schema::json_schema());
}
