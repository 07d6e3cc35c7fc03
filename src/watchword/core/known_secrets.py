"""Secrets that everybody knows: constants of tutorials, samples and framework defaults, in lower case."""

import functools
import re

PREFIXES = ("django-insecure-",)

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
09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7;
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
dgvzdc1zzwnyzxq; secret-key-1234567890; secretsecretsecret;
0123456789abcdef0123456789abcdef; 00000000000000000000000000000000; abcdefghijklmnopqrstuvwxyz; abcdefghijklmnopqrstuvwxyz123456;
1234567890abcdef; 12345678901234567890123456789012; deadbeef; cafebabe; aaaaaaaa; thirty two byte secret key here;
this_is_a_32_character_secret_key; this-is-a-very-long-secret-key-for-jwt; a-very-long-secret-key-that-no-one-can-guess;
please-change-this-secret-key-in-production; replace-with-a-secure-random-key; generate-a-secure-secret-key;
your-randomly-generated-secret-key; use-openssl-rand-hex-32; openssl rand -hex 32; openssl rand -base64 32;
"""


_CONSTANTS = r"""
_5#y2l"f4q8z\n\xec]/
a0zr98j/3yx r~xhh!jmn]lwx/,?rt
5791628bb0b13ce0c676dfde280ba245
\x02\x01thisismyscretkey\x01\x02\e\y\y\h
change_me_to_a_complex_random_secret
your_own_random_generated_secret_key
thisisasecret_1234
test_non_dev_secret
c292a0a3aa32397cdb050e233733900f
temporary_key
reallyreallyreallyreallyverysafe
3ek6fd+o0+c7tzbnvfjpmkndi2yaraakzqlk8o2ikoxqu4nf7edah8s3twphwrdwt6r
your-super-secret-jwt-token-with-at-least-32-characters-long
super-secret-jwt-token-with-at-least-32-characters-long
255d861b-5ea1-5996-9aa3-922530ec40b1
6116487b-cda1-52c2-b5b5-c8022c45e263
replace-with-secure-random-value
replace-with-random-value
569a1821-0a93-45e8-87ab-eb857f20a010
masterkeyneedstohave32characters
please-change-me-i-am-very-insecure
32-long-secret-not-secure-at-all
youreallyneedtochangethis
a_very_important_secret
insecure_session_secret
unsecure_session_secret
you_must_generate_a_random_string_of_more_than_twenty_chars
you_must_generate_a_random_string_of_more_than_twenty_chars_and_configure_this
change-this-insecure-key
my-insecure-key
!!changeme!!
tobemodified
generate_a_new_key
thistokenisnotsosecretchangeit
thistokenisnotsosecretsochangeit
somerandomstring
somerandomstringwith32characters
somerandomkey!!!
sw2ycwtib9zpoohopsmm
kph+bixk5d2deziixcaaaa==
thingsboarddefaultsigningkey
secretkey012345678901234567890123456789012345678901234567890123456789
thisismycustomsecretkey012345678
vghpc0lztxlddxn0b21tzwnyzxrlzxkwmtizndu2nzg=
mytotallysecretkey
nxpmdotdevjwtsecret
ofcourseistillloveyou
jwts are the best!
test123-test123-test123-test123-test123-test123-test123
shhhhhhared-secret
jwtgrokonezsecretkey
bezkodersecretkey
======================bezkoder=spring===========================
this is used to sign and verify jwt tokens, replace it with your own secret, it can be any string
this is my custom secret key for authentication
this is my custom secret key for authnetication
gqdstcksx0nhjpouxoyg5mbej1xt0ufiwdvvvbrk
byym000ollmqg6vvvp1oh7xzyr7ghuw1qvuc5dcgt3snm
jwtauthenticationhighsecuredpasswordvvvp1oh7xzyr
db3oisj+bxe9nzdy0t8w3tcnekrf+2d/1sfnwg4hnv8tzy30itodtvwjg8abwvb1glogjuqzdcf2luqm/hccmw==
401b09eab3c013d4ca54922bb802bec8fd5318192b0a75f201d8b3727429090fb337591abd3e44453b954555b7a0812e1081c39b740293f765eae731f5a65ed1
856fecba3b06519c8dddbc80bb080553
yn2kjibddfawtnpj2afll8wxmohjmcvigqggaeypa5e=
daf66e01593f61a15b857cf433aae03a005812b31234e149036bcc8dee755dbb
357638792f423f4428472b4b6250655368566d597133743677397a2443264629
5367566b59703373367639792f423f4528482b4d6251655468576d5a71347437
77217a25432a462d4a614e645267556b58703273357638792f413f4428472b4b
7234743777217a25432a462d4a614e645267556b58703273357638782f413f44
9a02115a835ee03d5fb83cd8a468ea33e4090aaaec87f53c9fa54512bbef4db8dc656c82a315fa0c785c08b0134716b81ddcd0153d2a7556f2e154912cf5675f
5paq6zryx8bc3dv2ws7gn1mk9jf0hl4tuop6ibve3ng8xzaqry7cw2fa
vlweyvbsyt9v7zq57tejmnvuyzblycfpqye08f7mgva9xkha
c3byaw5nlwjvb3qtc2vjdxjpdhktand0lxr1dg9yawfslwppd29vbi1zchjpbmctym9vdc1zzwn1cml0es1qd3qtdhv0b3jpywwk
c2lsdmvybmluzs10zwnolxnwcmluzy1ib290lwp3dc10dxrvcmlhbc1zzwnyzxqtc2lsdmvybmluzs10zwnolxnwcmluzy1ib290lwp3dc10dxrvcmlhbc1zzwnyzxqk
aym1sysppbydfgzld3umj1qzkobwvmkoqq-estjqlr_t-1qs0gzh75aktmn3yj0ips4hcguutwjazzr1z9caow
hjtxiz2usn5kbqfbttnwbpdmhkv8fjg-onbc6mxccyg
qwertyuiopasdfghjklzxcvbnm123456
mbc5v1sokvvbdeitdsbenu59nfnfhwkedkjvnabostw=
hpryyvrimyxpw5sbb1xecmn1kfsdcqkvbi2qjxbvhqk=
04ca023b39512e46d0c2cf4b48d5aac61d34302994c87ed4eff225dcf3b0a218739f3897051a057f9b846a69ea2927a587044164b7bae5e1306219d50b588cb1
16f8c0ef4a5d391b26034086c628469d3f9f497f08163ab9b40137092f2909ef
eaa5191f2914e30b9387fd84e254e4ba6fc51b4654968a9b0803b456a54b8418
f34be427ebb29de8d88c107a71546019685ed8b241d8f2ed00c3df97ad2566f0
sk-9f73s3ljtxvcmt3blb3ljtqtskighxvcmt3blbkfjlk7u
upnvntn3cdxhjpq99ymc1t1aqgqpc8kfyturgbiya15blrx8etqoxz3gzv1/u2oq
5lrmxkkwcvocs/uerpsl7v+tx/aauai7idkgl3tsmle=
kix2wcuond4cx51e/zpad36bqm4wzjgkjptz2sgztqq=
2818143646516f6fffd707b36f334bbb
44da78b7bbb0dfe709cf38931d25dcdd
f686147ab967943ebbe9ed3b496e465a
!changethismercurehubjwtsecretkey!
비밀키
비밀 키
시크릿키
나만의 비밀키
보안을 위한 비밀 키
"""
"""One to a line, as they stand: they may hold anything. Most are long enough for HS256, and look random."""

_WORDS = """
access admin algorithm algorithms and any api app application at auth authentication authorization backend base64 be
bearer because better bit bits byte bytes can cannot change changed changeit changeme changethis char character
characters chars clave client code company complex configure cookie create default demo dev develop development do dont
encode encoded encrypt encryption enough environment env example express extremely fast fastapi flask for foo bar from
generate generated generator good guess hard have here hex highly hmac hs256 hs384 hs512 important in insecure insert is
it java json jsonwebtoken jwt jwts keep key keys last least length local localhost long longer make me min minimum more
must my mysecret need needs never new no node not of one only openssl or own pass password passwd phrase placeholder
please private prod production project public put rand random randomly real really refresh replace replaced required
safe sample secret secreta secretkey secrets secure secured security server session sha256 sha512 shared should sign
signature signed signing so some something spring springboot service staging store string strong strongest super system
symmetric temp temporary test testing tests text than that the this to token tokens top true tutorial ultra unique
unsafe update use used user using value verify very web website with word your yours django boot laravel rails react next
chave segredo secreto geheim geheimnis rahasia kunci supersecret
"""


@functools.cache
def words() -> re.Pattern[str]:
    """What placeholders are made of: a secret whose strength is all in such words has none."""
    listed = {word for word in _WORDS.split() if len(word) > 2}
    return re.compile("|".join(sorted(listed, key=lambda word: (-len(word), word))))


@functools.cache
def known() -> frozenset[str]:
    """Every listed secret, as it stands and without separators."""
    listed = [*_PHRASES.split(";"), *_CONSTANTS.splitlines()]
    return frozenset(form for phrase in listed if phrase.strip() for form in _both(phrase))


def _both(phrase: str) -> tuple[str, str]:
    """A phrase as it stands, and without what people put between its words."""
    words = " ".join(phrase.split())
    return words, re.sub(r"[\s_-]+", "", words)
