"""Secrets that everybody knows: constants of tutorials, samples and framework defaults, in lower case."""

PREFIXES = ("django-insecure-", "sk_test_", "dev-secret", "insecure-secret")

_PHRASES = """
secret; secret key; secretkey; my secret; my secret key; your secret; your secret key; the secret key; super secret;
super secret key; supersecret; top secret; jwt secret; jwt secret key; my jwt secret; your jwt secret; jwt key;
change me; change this; changeit; change me please; changethis; please change me; please change this; replace me;
replace this; change me in production; change this in production; your secret key change in production;
your secret key change this in production; your secret key here; your secret here; insert secret here; put your secret here;
your 256 bit secret; your 384 bit secret; your 512 bit secret; your-256-bit-secret-here; your very secret key;
a string secret at least 256 bits long; a string secret at least 384 bits long; a valid string secret that is at least
512 bits long which is very long; a string secret at least 512 bits long which is very long; keyboard cat; shhhh; shhhhh;
shhhhhared secret; default; default secret; default secret key; development; development key; development secret; dev; dev
key; dev secret; test; test key; test secret; test secret key; testing; testing secret; example; example secret; example
key; sample secret; sample key; demo; demo secret; foobar; foo bar; password; passw0rd; password123; admin; admin123;
letmein; qwerty; abc123; 123456; 12345678; 1234567890; 0123456789abcdef; not so secret; not a secret; notasecret; no
secret; this is a secret; this is my secret; this is a secret key; this is the secret key; this is not a secret; this
should be secret; this is very secret; very secret; very secret key; verysecret; very very secret; something secret;
something very secret; some secret; some secret key; some random secret; random secret; random string; a random string;
long random string; a long random string; my precious; my_precious; hard to guess string; you will never guess; you'll
never guess; i am a secret; key; my key; mykey; signing key; signing secret; private key; public key; token; token
secret; access token secret; refresh token secret; access secret; refresh secret; session secret; cookie secret; app
secret; app key; appkey; app secret key; application secret; api secret; api key; auth secret; auth key; hmac secret;
hs256 secret; symmetric key; shared secret; encryption key; master key; masterkey; salt; pepper; flask secret; flask
secret key; fastapi secret; fastapi secret key; django secret; django secret key; rails secret; express secret; node
secret; spring secret; laravel secret; next auth secret; nextauth secret; authjs secret; better auth secret; better auth
secret 123456789; authx secret; fastapi users secret; reset password token secret; verification token secret;
09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7; b'_5#y2l"f4q8z\\n\\xec]/'; _5#y2l"f4q8z\\n\\xec]/;
192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf; s3cr3t; 5up3r53cr3t; somereallylongsecretkey;
thisisasecretkey; thisisaverysecretkey; thisismysecretkey; mysupersecretkey; mysupersecret; secret123; secret1234;
secret key 123; mysecretkey123; supersecretkey123; secret jwt key; secret for jwt; key for jwt; jwt signing key; jwt
signing secret; jwtsecretkey; jwt_secret_key; secret_key; your_secret_key; your_jwt_secret_key; your-secret-key-here;
your-super-secret-key; your super secret jwt key; your super secret key change this in production; super secret jwt key;
super-secret-key-change-in-production; super duper secret; ultra secret; ultra secret key; my ultra secret key; cookie
monster; correct horse battery staple; lorem ipsum; hello world; helloworld; undefined; null; none; true; false; empty;
todo; fixme; xxx; xxxx; xxxxxxxx; my app secret; my application secret; company secret; bezkoder secret key; grokonez
secret key; techgeeknext; javainuse; javatechie; mysecretkeyforjwt; jwtsecretkeyforspringboot; secretkeyforjwt;
404e635266556a586e3272357538782f413f4428472b4b6250645367566b5970; 413f4428472b4b6250645367566b5970337336763979244226452948404d6351;
3cfa76ef14937c1c0ea519f8fc057a80fcd04a7420f8e8bcd0a7567c272e007b; 3d6f45a5fc12445dbac2f59c3b6c7cb1;
9a4f2c8d3b7a1e6f45c8a0b3f267d8b1d4e6f3c8a9d2b5f8e3a9c8b5f6v8a3d9; 586b633834416e396d7436753879382f423f4428482b4c6250655367566b5970;
dgvzdc1zzwnyzxq; afafd2a1e3c96b9b1bf0ae5bf24d5bcf9b6f4ae9; ezl1zqqvp3zqk5zqk; secret-key-1234567890; secretsecretsecret;
0123456789abcdef0123456789abcdef; 00000000000000000000000000000000; abcdefghijklmnopqrstuvwxyz; abcdefghijklmnopqrstuvwxyz123456;
1234567890abcdef; 12345678901234567890123456789012; deadbeef; cafebabe; aaaaaaaa; thirty two byte secret key here;
this_is_a_32_character_secret_key; this-is-a-very-long-secret-key-for-jwt; a-very-long-secret-key-that-no-one-can-guess;
please-change-this-secret-key-in-production; replace-with-a-secure-random-key; generate-a-secure-secret-key;
your-randomly-generated-secret-key; use-openssl-rand-hex-32; openssl rand -hex 32; openssl rand -base64 32;
"""


def _both(phrase: str) -> tuple[str, str]:
    """A phrase as it stands, and without what people put between its words."""
    words = " ".join(phrase.split())
    return words, words.replace(" ", "").replace("-", "").replace("_", "")


KNOWN = frozenset(form for phrase in _PHRASES.split(";") if phrase.strip() for form in _both(phrase))
