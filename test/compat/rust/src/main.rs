//! GET of a URL: `rust-clients native-tls|rustls-native|rustls-webpki URL`.
use reqwest::blocking::Client;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (roots, url) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    let builder = match roots.as_str() {
        "native-tls" => Client::builder().use_native_tls(),
        "rustls-native" => Client::builder().use_rustls_tls().tls_built_in_webpki_certs(false),
        _ => Client::builder().use_rustls_tls().tls_built_in_native_certs(false),
    };
    let answer = builder.build()?.get(url).send()?;
    println!("{:?} {}", answer.version(), answer.status());
    print!("{}", answer.text()?);
    Ok(())
}
