//! x
fn main() {
    let files = std::env::args_os().skip(2).map(Into::into).collect();
    let r = etcha_exporter::exporter::render::Render { files, limits: Default::default() };
    let s = r.run(&mut std::io::stdin(), &mut std::io::stdout());
    eprintln!("{}", s.unwrap());
}
