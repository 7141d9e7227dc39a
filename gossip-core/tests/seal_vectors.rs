//! The ciphers against published vectors, through the public face of the seal.

use gossip_core::{Suite, SuiteError};

struct Vector {
    suite: Suite,
    key: &'static str,
    nonce: &'static str,
    associated: &'static str,
    plain: &'static str,
    sealed: &'static str,
    tag: &'static str,
}

/// draft-irtf-cfrg-xchacha-03, A.3.1; text, key and associated data are those of RFC 8439 §2.8.2.
const XCHACHA: Vector = Vector {
    suite: Suite::XChaCha20Poly1305,
    key: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
    nonce: "404142434445464748494a4b4c4d4e4f5051525354555657",
    associated: "50515253c0c1c2c3c4c5c6c7",
    plain: "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a204966204920636f756c64206f6666\
            657220796f75206f6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73637265656e20776f756c642062652069\
            742e",
    sealed: "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c2\
             16cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c6\
             8b13b52e",
    tag: "c0875924c1c7987947deafd8780acf49",
};

/// `McGrew` and Viega, "The Galois/Counter Mode of Operation", as submitted to NIST: test cases 4, 10 and 16.
#[cfg(feature = "aes-gcm")]
const GCM: [Vector; 3] = [
    gcm(
        Suite::Aes128Gcm,
        "feffe9928665731c6d6a8f9467308308",
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac97\
         3d58e091",
        "5bc94fbc3221a5db94fae95ae7121a47",
    ),
    gcm(
        Suite::Aes192Gcm,
        "feffe9928665731c6d6a8f9467308308feffe9928665731c",
        "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9\
         ccda2710",
        "2519498e80f1478f37ba55bd6d27618c",
    ),
    gcm(
        Suite::Aes256Gcm,
        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0a\
         bcc9f662",
        "76fc6ece0f4e1768cddf8853bb2d551b",
    ),
];

#[cfg(feature = "aes-gcm")]
const fn gcm(suite: Suite, key: &'static str, sealed: &'static str, tag: &'static str) -> Vector {
    Vector {
        suite,
        key,
        nonce: "cafebabefacedbaddecaf888",
        associated: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        plain: "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5\
                aa0de657ba637b39",
        sealed,
        tag,
    }
}

fn bytes(digits: &str) -> Vec<u8> {
    let digits: Vec<_> = digits.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits are a byte")).collect()
}

fn check(vector: &Vector) {
    let Vector { suite, .. } = *vector;
    let (key, nonce, associated) = (bytes(vector.key), bytes(vector.nonce), bytes(vector.associated));
    let (plain, sealed) = (bytes(vector.plain), bytes(vector.sealed));
    let mut content = plain.clone();
    let mut tag = suite.seal(&key, &nonce, &associated, &mut content).expect("the lengths are right");
    assert_eq!((&content, &tag[..]), (&sealed, &bytes(vector.tag)[..]), "{suite}");
    assert_eq!(suite.open(&key, &nonce, &associated, &mut content, &tag), Ok(()));
    assert_eq!(content, plain, "{suite}");

    content.clone_from(&sealed);
    for bit in 0..128 {
        tag[bit / 8] ^= 1 << (bit % 8);
        let opened = suite.open(&key, &nonce, &associated, &mut content, &tag);
        assert_eq!((opened, &content), (Err(SuiteError::Tag), &sealed), "{suite}: it stays sealed");
        tag[bit / 8] ^= 1 << (bit % 8);
    }
    let error = suite.seal(&key[1..], &nonce, &associated, &mut content).expect_err("a key is too short");
    assert!(matches!(error, SuiteError::Length { .. }), "{suite}: {error}");
}

#[test]
fn xchacha20_poly1305_is_as_published() {
    check(&XCHACHA);
}

#[cfg(feature = "aes-gcm")]
#[test]
fn aes_gcm_is_as_published() {
    GCM.iter().for_each(check);
}
