"""The archives, served by a real server on the loopback, and every way in which getting them can fail."""

import dataclasses
import datetime
import hashlib
import inspect
import io
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import zipfile
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from random import Random
from traceback import format_exception

import polars as pl
import pytest

import utilities
from utilities import archives, tables
from utilities.datasets import RATINGS_SCHEMA, check_ratings
from utilities.releases import CSV, RELEASES

RATINGS = [  # user, movie, rating, timestamp: by user and movie, as the large releases are
    (1, 7, 3.0, 900),
    (1, 31, 5.0, 850),
    (2, 7, 1.0, 700),
    (2, 900, 4.0, 700),
    (3, 31, 2.0, 100),
]
SORTED = [RATINGS[i] for i in (1, 0, 2, 3, 4)]  # by user, time and movie
MOVIES = [  # id, title as the archives have it, genres
    (7, "Misérables, Les (1995)", ["Drama", "Musical"]),
    (31, 'Say "Yes", Twice (1999) ', ["Comedy"]),
    (900, "Babylon 5", []),
]
EXPECTED_MOVIES = [
    (7, "Misérables, Les", 1995, ["Drama", "Musical"]),
    (31, 'Say "Yes", Twice', 1999, ["Comedy"]),
    (900, "Babylon 5", None, []),
]
USERS = [(1, 24, "M", "technician"), (2, 53, "F", "other"), (3, 7, "M", "student")]
USERS_1M = [(1, 18, "M", "4"), (2, 50, "F", "0"), (3, 1, "M", "10")]  # groups of ages and of occupations
DOWNLOADED = [name for name in RELEASES if name != "built-in"]


# Archives of the real layouts


def tables_of(dataset, ratings=RATINGS, movies=MOVIES):
    """Give the files of a release, as it lays them out."""
    layout = RELEASES[dataset].layout
    number = int if dataset in ("ml-100k", "ml-1m") else float  # 5, not 5.0
    lines = [layout.separator.join(map(str, (u, m, number(r), t))) for u, m, r, t in ratings]
    if dataset == "ml-100k":
        lines.reverse()  # in no order
        flags = [
            "|".join(str(int(g in genres or (g, genres) == ("unknown", []))) for g in tables.GENRES_100K)
            for _, _, genres in movies
        ]
        films = [
            f"{m}|{title}|01-Jan-1995||http://example.org/{m}|{f}"
            for (m, title, _), f in zip(movies, flags, strict=True)
        ]
        films[-1] = films[-1].replace("01-Jan-1995||http://example.org/900", "||")
    elif layout == CSV:
        lines.insert(0, "userId,movieId,rating,timestamp")
        films = ["movieId,title,genres"]
        for m, title, genres in movies:
            quoted = '"' + title.replace('"', '""') + '"'
            films.append(f"{m},{quoted},{'|'.join(genres) or '(no genres listed)'}")
    else:
        films = [f"{m}::{title}::{'|'.join(genres) or '(no genres listed)'}" for m, title, genres in movies]
    end = "\r\n" if dataset in ("ml-20m", "ml-latest-small") else "\n"
    files = {
        layout.ratings: (end.join(lines) + end).encode(),
        layout.movies: (end.join(films) + end).encode(layout.encoding),
    }
    if dataset == "ml-100k":
        files["u.user"] = "".join(f"{u}|{age}|{gender}|{work}|8{u}711\n" for u, age, gender, work in USERS).encode()
    if dataset == "ml-1m":
        files["users.dat"] = "".join(
            f"{u}::{gender}::{age}::{work}::8{u}-7\n" for u, age, gender, work in USERS_1M
        ).encode()
    return files


def zipped(dataset, files=None, folder="the-release/", **entries):
    """Zip the files of a release, with further entries under their full names."""
    files = tables_of(dataset) if files is None else files
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"{folder}{name}", content)
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def register(monkeypatch, dataset, content, algorithm="sha256"):
    """Make the checksum of an archive the one that its release is known by."""
    checksum = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    monkeypatch.setitem(RELEASES, dataset, dataclasses.replace(RELEASES[dataset], checksum=checksum))


# The server


class Server:
    """HTTP on the loopback: each path has a list of answers, the last of which is repeated.

    An answer is a status, the whole content, or a function of the handler that writes what it likes.
    """

    def __init__(self, context=None):
        outer = self
        self.answers, self.requests = {}, []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(self.path)
                answers = outer.answers.get(self.path, [404])
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                if callable(answer):
                    answer(self)
                elif isinstance(answer, int):
                    self.send_error(answer)
                else:
                    send(self, answer)

            def log_message(self, *args):
                pass

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context:
            self.httpd.socket = context.wrap_socket(self.httpd.socket, server_side=True)
        self.httpd.handle_error = lambda *args: None  # clients that hang up are what is tested
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.httpd.server_port}/movielens"
        self.thread = threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def serve(self, dataset, *answers):
        self.answers[f"/movielens/{dataset}.zip"] = list(answers)

    def close(self):
        self.httpd.shutdown()
        self.httpd.server_close()
        self.thread.join()


def send(handler, content, n_bytes=None):
    """Announce the whole content, and send `n_bytes` of it."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[:n_bytes])
    handler.wfile.flush()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The data folder, with nothing to download from: whoever tries is refused."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MOVIELENS_URL", f"http://127.0.0.1:{closed.getsockname()[1]}/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MOVIELENS_DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def server(folder, monkeypatch):
    server = Server()
    monkeypatch.setenv("MOVIELENS_URL", server.url)
    yield server
    server.close()


def visible(folder):
    """Name what a later call would trust, and what should have been cleaned away."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def stored(dataset):
    """Name the files that a conversion leaves."""
    tables = {"ml-100k": ["folds", "users"], "ml-1m": ["users"]}.get(dataset, [])
    return sorted([f"{dataset}.zip", *(f"{dataset}.{table}.parquet" for table in ["movies", "ratings", *tables])])


def place(folder, monkeypatch, dataset="ml-100k", movies=MOVIES, **changes):
    """Put an archive into the data folder, some of its files changed."""
    files = tables_of(dataset, movies=movies)
    content = zipped(dataset, files | {name.replace("_", "."): text for name, text in changes.items()})
    register(monkeypatch, dataset, content)
    (folder / f"{dataset}.zip").write_bytes(content)


def assert_loads(dataset):
    assert utilities.load_ratings(dataset).rows() == SORTED
    assert utilities.load_movies(dataset).rows() == EXPECTED_MOVIES


# What has to hold


@pytest.mark.parametrize("dataset", DOWNLOADED)
def test_every_release_is_downloaded_and_gives_one_schema(dataset, server, folder, monkeypatch):
    content = zipped(dataset)
    if RELEASES[dataset].checksum:
        register(monkeypatch, dataset, content, RELEASES[dataset].checksum.split(":")[0])
    server.serve(dataset, content)
    assert_loads(dataset)
    assert utilities.load_ratings(dataset).schema == utilities.load_ratings("built-in").schema
    assert utilities.load_movies(dataset).schema == utilities.load_movies("built-in").schema
    assert len(server.requests) == 1
    assert visible(folder) == stored(dataset)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_who_may_read_a_download_is_for_the_umask_to_say(server, folder):
    server.serve("ml-latest", zipped("ml-latest"))
    before = os.umask(0o027)
    try:
        assert_loads("ml-latest")
    finally:
        os.umask(before)
    for name in ("ml-latest.zip", "ml-latest.movies.parquet", "ml-latest.ratings.parquet"):
        assert stat.filemode((folder / name).stat().st_mode) == "-rw-r-----", name


def test_later_loads_need_neither_the_archive_nor_the_network(folder):
    (folder / "ml-latest.zip").write_bytes(zipped("ml-latest"))
    assert_loads("ml-latest")
    (folder / "ml-latest.zip").unlink()
    assert_loads("ml-latest")


def test_load_torch_data_reads_a_release_as_it_does_the_sample(folder, monkeypatch):
    (folder / "ml-latest.zip").write_bytes(zipped("ml-latest"))
    ratings_df, users_df, movies_df = utilities.load_torch_data("ml-latest", n_movies=2)
    assert ratings_df.rows() == [(*SORTED[0], 0, 1), (*SORTED[1], 0, 0), (*SORTED[2], 1, 0), (*SORTED[4], 2, 1)]
    assert users_df.rows() == [(1, 0), (2, 1), (3, 2)]
    assert movies_df.rows() == [(7, 0), (31, 1)]
    monkeypatch.setenv("MOVIELENS_SAMPLE", "1")
    assert utilities.load_torch_data("ml-latest")[0].height == 1


@pytest.mark.parametrize("dataset", DOWNLOADED)
def test_defaults_fit_the_size_of_the_release(dataset, folder):
    is_small = dataset in ("ml-latest-small", "ml-100k", "ml-1m")
    settings = utilities.settings(dataset)
    assert (settings.top_movies, settings.batch_size) == ((500, 1024) if is_small else (50, 4096))


def test_an_address_that_is_none_is_refused(folder, monkeypatch):
    monkeypatch.setenv("MOVIELENS_URL", "files.example.org")
    with pytest.raises(ValueError, match=r"MOVIELENS_URL: 'files\.example\.org' does not begin with http"):
        utilities.settings()


# Users and published folds


@pytest.mark.parametrize(("dataset", "users"), [("ml-100k", USERS), ("ml-1m", USERS_1M)])
def test_users_are_described_in_one_schema(dataset, users, folder, monkeypatch):
    place(folder, monkeypatch, dataset)
    users_df = utilities.load_users(dataset)
    assert users_df.rows() == users
    assert users_df.schema == {"userId": pl.Int64, "age": pl.Int32, "gender": pl.String, "occupation": pl.String}


def test_users_come_in_the_order_of_their_ids_each_once_and_in_latin_1(folder, monkeypatch):
    text = "3|7|M|étudiant|1\n1|24|M|technician|1\n2|53|F|other|T8H1N\n1|25|M|other|1\n".encode("latin-1")
    place(folder, monkeypatch, u_user=text)
    with pytest.warns(UserWarning, match=r"ml-100k.zip, u.user: 1 lines of users listed before, as 1, dropped"):
        users_df = utilities.load_users("ml-100k")
    assert users_df.rows() == [USERS[0], USERS[1], (3, 7, "M", "étudiant")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1|24|M|technician|8\n2|53|F|oth", "u.user, line 2: there is no zip; correct it or get the file again"),
        ("1|24|M|technician|8\n2|53", "u.user, line 2: there is no gender; correct it"),
        ("1|24|M|technician|8\n2|53||other|8\n", "u.user, line 2: there is no gender; correct it"),
        ("1|24|M|technician|8\n\n2|old|F|other|8\n", "u.user, line 3: age is 'old', not a whole number; correct it"),
        ("1|24|M|technician|8|9\n", "u.user, line 1: '9' is one too many; correct it"),
        ("1|24|M|technician|8\n", "u.user: 2 users who rated are missing, the first 2; get the archive again"),
        ("", "u.user, line 1: no users in it; correct it or get the file again"),
    ],
)
def test_users_that_cannot_be_read_or_are_missing_are_named_at_conversion(text, message, folder, monkeypatch):
    place(folder, monkeypatch, u_user=text.encode())
    with pytest.raises(ValueError, match=f"ml-100k.zip, {re.escape(message)}"):
        utilities.load_ratings("ml-100k")
    assert visible(folder) == ["ml-100k.zip"]


def test_an_archive_without_its_users_is_refused_with_what_is_inside(folder, monkeypatch):
    files = tables_of("ml-100k")
    del files["u.user"]
    content = zipped("ml-100k", files)
    register(monkeypatch, "ml-100k", content)
    (folder / "ml-100k.zip").write_bytes(content)
    with pytest.raises(ValueError, match=r"it should hold one u.user and holds 0; inside: the-release/u.data, "):
        utilities.load_users("ml-100k")


FILMS = [(m, f"Film {m} (1990)", ["Drama"]) for m in range(1, 22)]


def shuffled_lines(n_lines):
    """Give lines of ratings in no order, and the fold of each user's rating of each movie."""
    pairs = [(u, m) for u in (1, 2, 3) for m in range(1, n_lines // 3 + 1)]
    Random(0).shuffle(pairs)
    lines = [f"{u}\t{m}\t{1 + (u + m) % 5}\t{900 + (7 * m) % 5}\n" for u, m in pairs]
    return lines, {pair: 1 + 5 * i // n_lines for i, pair in enumerate(pairs)}


@pytest.mark.parametrize("n_lines", [60, 63])
def test_a_published_fold_is_a_fifth_of_the_lines_however_they_are_sorted_later(n_lines, folder, monkeypatch):
    lines, fold_of = shuffled_lines(n_lines)
    place(folder, monkeypatch, movies=FILMS, u_data="".join(lines).encode())
    ratings_df, folds_df = utilities.load_ratings("ml-100k"), utilities.load_folds("ml-100k")
    assert ratings_df.schema == RATINGS_SCHEMA
    assert folds_df.schema == {"userId": pl.Int64, "movieId": pl.Int64, "fold": pl.UInt8}
    assert folds_df.rows() == [(u, m, fold_of[u, m]) for u, m, *_ in ratings_df.rows()]
    sizes = folds_df["fold"].value_counts().sort("fold")["count"].to_list()
    assert sizes == ([12] * 5 if n_lines == 60 else [13, 13, 12, 13, 12])


def test_the_folds_are_those_that_the_releases_own_script_cuts(folder, monkeypatch):
    """`head -n k·20000 u.data | tail -n 20000` is the test set of u<k>: here with 12 lines instead of 20,000."""
    lines, _ = shuffled_lines(60)
    place(folder, monkeypatch, movies=FILMS, u_data="".join(lines).encode())
    folds_df = utilities.load_folds("ml-100k")
    for k in range(1, 6):
        cut = lines[: k * 12][-12:]
        assert set(folds_df.filter(fold=k).select("userId", "movieId").rows()) == {
            tuple(map(int, line.split("\t")[:2])) for line in cut
        }


def test_a_sample_has_the_folds_of_its_ratings(folder, monkeypatch):
    lines, fold_of = shuffled_lines(60)
    place(folder, monkeypatch, movies=FILMS, u_data="".join(lines).encode())
    monkeypatch.setenv("MOVIELENS_SAMPLE", "30")
    ratings_df, folds_df = utilities.load_ratings("ml-100k"), utilities.load_folds("ml-100k")
    assert folds_df.height == 30
    assert folds_df.rows() == [(u, m, fold_of[u, m]) for u, m, *_ in ratings_df.rows()]


@pytest.mark.parametrize(("later", "fold"), [(True, 5), (False, 1)])
def test_of_a_rating_given_twice_the_fold_is_that_of_the_line_that_is_kept(later, fold, folder, monkeypatch):
    lines, fold_of = shuffled_lines(60)
    user, movie, *_ = lines[0].split("\t")
    lines[-1] = f"{user}\t{movie}\t5\t999\n" if later else lines[0]  # the last fold repeats what is in the first
    place(folder, monkeypatch, movies=FILMS, u_data="".join(lines).encode())
    with pytest.warns(UserWarning, match=r"u.data: 1 earlier ratings of a movie by the same user dropped"):
        folds_df = utilities.load_folds("ml-100k")
    assert fold_of[int(user), int(movie)] == 1
    assert folds_df.filter(userId=int(user), movieId=int(movie))["fold"].to_list() == [fold]
    assert folds_df["fold"].value_counts().sort("fold")["count"].sort().to_list() == [11, 12, 12, 12, 12]


@pytest.mark.parametrize("load", [utilities.load_folds, utilities.load_users])
def test_what_an_earlier_version_did_not_convert_is_converted_from_the_archive(load, folder, monkeypatch):
    place(folder, monkeypatch)
    expected_df = load("ml-100k")
    for table in ("folds", "users"):
        (folder / f"ml-100k.{table}.parquet").unlink()
    assert load("ml-100k").equals(expected_df)
    assert visible(folder) == stored("ml-100k")
    for name in ("ml-100k.folds.parquet", "ml-100k.users.parquet", "ml-100k.zip"):
        (folder / name).unlink()
    assert_loads("ml-100k")
    monkeypatch.setattr(archives, "ATTEMPTS", 1)
    with pytest.raises(OSError, match=f"cannot download .*ml-100k.zip: .*place it at {folder / 'ml-100k.zip'}"):
        load("ml-100k")


# The network


def assert_download_fails(folder, reason, url):
    with pytest.raises(OSError, match=reason) as caught:
        utilities.load_ratings("ml-latest")
    message = str(caught.value)
    assert f"cannot download {url}/ml-latest.zip" in message
    assert f"place it at {folder / 'ml-latest.zip'}" in message
    assert "\n" not in message and len(message) < 500
    assert visible(folder) == []


def test_no_network_says_where_to_place_the_archive_by_hand(folder, monkeypatch):
    monkeypatch.setattr(archives, "ATTEMPTS", 1)
    assert_download_fails(folder, "Connection refused", os.environ["MOVIELENS_URL"].rstrip("/"))
    (folder / "ml-latest.zip").write_bytes(zipped("ml-latest"))
    assert_loads("ml-latest")


@pytest.mark.parametrize(("status", "reason"), [(404, "404 Not Found"), (500, "500 Internal Server Error")])
def test_an_answer_that_is_an_error_is_named(server, folder, monkeypatch, status, reason):
    monkeypatch.setattr(archives, "ATTEMPTS", 1)
    server.serve("ml-latest", status)
    assert_download_fails(folder, reason, server.url)


@pytest.mark.parametrize("password", ["s3cr%40t", "wr0ng"])
def test_a_login_in_the_address_is_used_and_printed_nowhere(server, folder, monkeypatch, capfd, password):
    def guard(handler):
        known = handler.headers.get("Authorization") == "Basic " + b64encode(b"ann:s3cr@t").decode()
        send(handler, zipped("ml-latest")) if known else handler.send_error(401)

    monkeypatch.setattr(archives, "ATTEMPTS", 1)
    monkeypatch.setenv("MOVIELENS_URL", server.url.replace("://", f"://ann:{password}@"))
    server.serve("ml-latest", guard)
    if password == "wr0ng":
        with pytest.raises(OSError, match=f"cannot download {server.url}/ml-latest.zip") as error:
            utilities.load_ratings("ml-latest")
        printed = "".join(format_exception(error.value))
        assert "401 Unauthorized" in printed
    else:
        assert_loads("ml-latest")
        printed = ""
    printed += str(capfd.readouterr())
    assert not re.search("s3cr|wr0ng|ann:", printed)


def test_a_server_that_recovers_is_asked_again(server, folder):
    content = zipped("ml-latest")
    server.serve("ml-latest", 500, lambda handler: send(handler, content, len(content) // 2), content)
    assert_loads("ml-latest")
    assert len(server.requests) == 3


def test_a_connection_cut_half_way_leaves_nothing(server, folder, monkeypatch):
    monkeypatch.setattr(archives, "ATTEMPTS", 1)
    content = zipped("ml-latest")
    server.serve("ml-latest", lambda handler: send(handler, content, len(content) // 2))
    assert_download_fails(folder, "IncompleteRead", server.url)


def certificate(folder, first_day, last_day):
    """Make an authority, and a certificate by it for the loopback that holds between two days from now."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.datetime.now(datetime.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("authority", "127.0.0.1")]

    identifiers = [x509.SubjectKeyIdentifier.from_public_key(key.public_key()) for key in keys]

    def sign(which, start, end, *extensions):
        builder = x509.CertificateBuilder().subject_name(names[which]).issuer_name(names[0])
        builder = builder.public_key(keys[which].public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now + datetime.timedelta(start))
        builder = builder.not_valid_after(now + datetime.timedelta(end))
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifiers[0])
        for extension, critical in [*extensions, (identifiers[which], False), (authority, False)]:
            builder = builder.add_extension(extension, critical)
        return builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    uses = dict.fromkeys(inspect.signature(x509.KeyUsage).parameters, False) | {"key_cert_sign": True}
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    (folder / "authority.pem").write_bytes(
        sign(0, -999, 999, (x509.BasicConstraints(True, None), True), (x509.KeyUsage(**uses), True))
    )
    (folder / "server.pem").write_bytes(
        keys[1].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + sign(1, first_day, last_day, (alternative, False))
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


@pytest.mark.parametrize("is_valid", [True, False])
def test_only_an_expired_certificate_is_refused(folder, tmp_path_factory, monkeypatch, is_valid):
    monkeypatch.setattr(archives, "ATTEMPTS", 1)
    keys = tmp_path_factory.mktemp("keys")
    server = Server(certificate(keys, -30, 30 if is_valid else -1))
    try:
        server.serve("ml-latest", zipped("ml-latest"))
        monkeypatch.setenv("MOVIELENS_URL", server.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(keys / "authority.pem"))
        if is_valid:
            assert_loads("ml-latest")
        else:
            assert_download_fails(folder, "certificate has expired", server.url)
    finally:
        server.close()


# The archive


def test_a_download_with_a_wrong_checksum_is_thrown_away(server, folder):
    server.serve("ml-1m", zipped("ml-1m"))  # ours, not the one of the release
    with pytest.raises(
        ValueError, match=r"the download of ml-1m.zip from .* is not .* expected a6898adb50b9.*place an intact"
    ):
        utilities.load_ratings("ml-1m")
    assert visible(folder) == []


def test_an_archive_placed_by_hand_must_have_the_checksum_too(folder):
    (folder / "ml-1m.zip").write_bytes(zipped("ml-1m"))
    with pytest.raises(
        ValueError, match=r"ml-1m.zip is not the archive it should be: its sha256 is .*; replace it, or move it away"
    ):
        utilities.load_ratings("ml-1m")
    assert visible(folder) == ["ml-1m.zip"]


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_truncated_archive_is_refused(folder, share):
    content = zipped("ml-latest")
    (folder / "ml-latest.zip").write_bytes(content[: int(share * len(content))])
    with pytest.raises(
        ValueError, match=r"ml-latest.zip is not .*: File is not a zip file; replace it, or move it away"
    ):
        utilities.load_ratings("ml-latest")
    assert visible(folder) == ["ml-latest.zip"]


def test_a_download_cut_short_without_a_length_is_thrown_away(server, folder):
    def without_length(handler):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(zipped("ml-latest")[:-100])

    server.serve("ml-latest", without_length)
    with pytest.raises(ValueError, match=r"the download of .* is not .*: File is not a zip file; try again later"):
        utilities.load_ratings("ml-latest")
    assert visible(folder) == []


def test_damage_inside_an_archive_is_found(folder):
    ratings = [(u, m, 0.5 + (u * m) % 10 / 2, u * 7919 + m) for u in range(1, 300) for m in range(1, 30)]
    content = bytearray(zipped("ml-latest", tables_of("ml-latest", ratings)))
    content[5000:5010] = bytes(10)
    (folder / "ml-latest.zip").write_bytes(content)
    with pytest.raises(ValueError, match=r"ml-latest.zip is not .*: .*; replace it, or move it away"):
        utilities.load_ratings("ml-latest")
    assert visible(folder) == ["ml-latest.zip"]


@pytest.mark.parametrize("inside", ["", "ml-latest-small/", "home/me/ml-latest/", "/tmp/", "../", "ml-latest\\"])
def test_tables_are_found_wherever_they_lie(folder, inside):
    (folder / "ml-latest.zip").write_bytes(zipped("ml-latest", folder=inside))
    assert_loads("ml-latest")
    assert visible(folder) == ["ml-latest.movies.parquet", "ml-latest.ratings.parquet", "ml-latest.zip"]
    assert not list(folder.parent.glob("*.csv"))


def test_tables_are_found_beside_what_a_mac_adds_and_in_capitals(folder):
    files = {name.upper(): content for name, content in tables_of("ml-latest").items()}
    added = {
        "__MACOSX/ml-latest/._ratings.csv": b"Mac OS X",
        "ml-latest/.DS_Store": b"",
        "ml-latest/my-ratings.csv": b"",
    }
    (folder / "ml-latest.zip").write_bytes(zipped("ml-latest", files, **added))
    assert_loads("ml-latest")


@pytest.mark.parametrize("missing", ["ratings.csv", "movies.csv"])
def test_an_archive_without_a_table_is_refused_with_what_is_inside(folder, missing):
    files = {name: content for name, content in tables_of("ml-latest").items() if name != missing}
    (folder / "ml-latest.zip").write_bytes(zipped("ml-latest", files, **{"a/ml-latest.zip": b"", "README.txt": b""}))
    inside = f"inside: the-release/{next(iter(files))}, a/ml-latest.zip, README.txt; replace it, or move it away"
    with pytest.raises(ValueError, match=f"it should hold one {missing} and holds 0; {inside}"):
        utilities.load_ratings("ml-latest")
    assert visible(folder) == ["ml-latest.zip"]


def test_an_archive_with_a_table_twice_is_refused_with_where_they_lie(folder):
    (folder / "ml-latest.zip").write_bytes(zipped("ml-latest", **{"copy/movies.csv": b"movieId"}))
    with pytest.raises(
        ValueError, match=r"one movies.csv and holds 2; inside: the-release/movies.csv, copy/movies.csv;"
    ):
        utilities.load_ratings("ml-latest")


def test_an_archive_behind_a_password_is_refused(folder):
    content = zipped("ml-latest")
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        parts = content.split(header)
        marked = [part[: flags - 4] + bytes([part[flags - 4] | 1]) + part[flags - 3 :] for part in parts[1:]]
        content = header.join([parts[0], *marked])
    (folder / "ml-latest.zip").write_bytes(content)
    with pytest.raises(ValueError, match=r"ml-latest.zip is not .*: .*is encrypted, password required .*; replace it"):
        utilities.load_ratings("ml-latest")
    assert visible(folder) == ["ml-latest.zip"]


def test_what_cannot_be_read_is_named_with_the_archive_the_table_and_the_line(folder):
    broken = {
        "ratings.csv": (
            "userId,movieId,rating,timestamp\n1,7,x,1\n",
            "ratings.csv, line 2: rating is 'x', not a number",
        ),
        "movies.csv": ("movieId,title,genres\n7,Café,Drama\n", r"movies.csv, line 2: b'7,Caf\\xe9' is not utf-8"),
    }
    for name, (text, message) in broken.items():
        files = tables_of("ml-latest") | {name: text.encode("latin-1")}
        (folder / "ml-latest.zip").write_bytes(zipped("ml-latest", files))
        with pytest.raises(ValueError, match=f"ml-latest.zip, {message}"):
            utilities.load_movies("ml-latest")
        assert visible(folder) == ["ml-latest.zip"]


def test_a_rated_movie_that_is_not_listed_is_kept_without_a_title_and_with_a_warning(folder):
    (folder / "ml-latest.zip").write_bytes(zipped("ml-latest", tables_of("ml-latest", movies=MOVIES[:1] + MOVIES[2:])))
    with pytest.warns(UserWarning, match=r"ml-latest.zip, movies.csv: 1 rated movies are missing, the first 31"):
        movies_df = utilities.load_movies("ml-latest")
    assert movies_df.rows() == [EXPECTED_MOVIES[0], (31, None, None, []), EXPECTED_MOVIES[2]]
    assert utilities.load_ratings("ml-latest").rows() == SORTED


def test_an_archive_asked_for_by_name_is_loaded_whatever_the_environment_names(folder, monkeypatch):
    monkeypatch.setenv("MOVIELENS_DATASET", "ml-26m")
    (folder / "ml-latest.zip").write_bytes(zipped("ml-latest"))
    assert_loads("ml-latest")


@pytest.mark.parametrize(("line", "named"), [("4,7,5.5,1", "the first 5.5"), ("4,7,nan,1", "the first nan")])
def test_a_rating_that_is_none_is_refused_at_conversion(folder, line, named):
    files = tables_of("ml-latest")
    files["ratings.csv"] += line.encode()
    (folder / "ml-latest.zip").write_bytes(zipped("ml-latest", files))
    with pytest.raises(ValueError, match=f"ratings outside 0.5 to 5.0 stars, {named} by user 4 for movie 7"):
        utilities.load_ratings("ml-latest")
    assert visible(folder) == ["ml-latest.zip"]


def test_a_parquet_file_that_is_none_says_what_to_do(folder):
    (folder / "ml-latest.zip").write_bytes(zipped("ml-latest"))
    (folder / "ml-latest.ratings.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(ValueError, match=r"ml-latest.ratings.parquet is not a readable parquet .*; delete it and load"):
        utilities.load_ratings("ml-latest")
    (folder / "ml-latest.ratings.parquet").unlink()
    assert_loads("ml-latest")


# Processes and disks


def start(code):
    """Run code in a process of its own, in this environment."""
    environ = os.environ | {"PYTHONPATH": str(Path(utilities.__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.communicate()


LOAD = "import utilities; print(utilities.load_ratings('ml-latest').rows())"


def test_a_download_killed_half_way_is_begun_again(server, folder):
    content, half_sent, done = zipped("ml-latest", pad=os.urandom(3 * 2**20)), threading.Event(), threading.Event()

    def stall(handler):
        send(handler, content, len(content) // 2)
        half_sent.set()
        done.wait(60)

    server.serve("ml-latest", stall, content)
    process = start(LOAD)
    try:
        assert half_sent.wait(60)
        while not any(path.stat().st_size for path in (folder / ".ml-latest.partial").iterdir()):
            assert process.poll() is None
    finally:
        kill(process)
        done.set()
    assert visible(folder) == [".ml-latest.partial"]
    assert_loads("ml-latest")
    assert visible(folder) == ["ml-latest.movies.parquet", "ml-latest.ratings.parquet", "ml-latest.zip"]


def test_what_a_killed_process_left_is_not_trusted(server, folder):
    content = zipped("ml-latest")
    server.serve("ml-latest", content)
    left = folder / ".ml-latest.partial"
    left.mkdir()
    for name in ("ml-latest.zip", "ml-latest.ratings.parquet"):
        (left / name).write_bytes(content[:300])
    assert_loads("ml-latest")
    assert visible(folder) == ["ml-latest.movies.parquet", "ml-latest.ratings.parquet", "ml-latest.zip"]


def test_a_conversion_killed_half_way_is_begun_again(folder):
    (folder / "ml-latest.zip").write_bytes(zipped("ml-latest"))
    process = start(
        "import time\n"
        "from utilities import archives, tables\n"
        "tables.BLOCK_BYTES = 20\n"
        "def check(df, source):\n"
        "    if df['userId'].max() == 3:\n"
        "        print('half way', flush=True); time.sleep(60)\n"
        "    return df\n"
        "archives.parquet_file('ml-latest', 'ratings', check)"
    )
    try:
        assert process.stdout.readline() == "half way\n"
    finally:
        kill(process)
    assert visible(folder) == [".ml-latest.partial", "ml-latest.zip"]
    assert_loads("ml-latest")
    assert visible(folder) == ["ml-latest.movies.parquet", "ml-latest.ratings.parquet", "ml-latest.zip"]


def test_of_two_processes_at_once_one_downloads_and_the_other_waits(server, folder):
    other_waits = threading.Event()

    def slow(handler):
        other_waits.wait(30)
        send(handler, zipped("ml-latest"))

    server.serve("ml-latest", slow)
    processes = [start(LOAD), start(LOAD)]
    watchers = [
        threading.Thread(target=lambda p=p: [other_waits.set() for line in p.stderr if "waiting for another" in line])
        for p in processes
    ]
    for watcher in watchers:
        watcher.start()
    for process, watcher in zip(processes, watchers, strict=True):
        assert process.stdout.read() == f"{SORTED}\n"
        assert process.wait() == 0
        watcher.join()
        process.stdout.close()
        process.stderr.close()
    assert other_waits.is_set()
    assert len(server.requests) == 1
    assert visible(folder) == ["ml-latest.movies.parquet", "ml-latest.ratings.parquet", "ml-latest.zip"]


@pytest.fixture
def small_disk(folder):
    """Turn the data folder into a file system of 1 MiB."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"mounting a small tmpfs is not permitted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_too_small_for_the_download_is_named(server, small_disk):
    server.serve("ml-latest", zipped("ml-latest", pad=os.urandom(2 * 2**20)))
    with pytest.raises(
        OSError, match=f"cannot read or write in {small_disk}: No space left on device; free space there, or set"
    ):
        utilities.load_ratings("ml-latest")
    assert visible(small_disk) == []
    assert len(server.requests) == 1
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    assert_loads("ml-latest")


def test_a_disk_too_small_for_the_conversion_is_named(small_disk):
    ratings = [
        (u, m, 0.5 + (u * m) % 10 / 2, (u * m * 2654435761) % 2**32) for u in range(1, 300) for m in range(1, 200)
    ]
    files = tables_of("ml-latest", ratings, [(m, f"Film {m}", ["Drama"]) for m in range(1, 200)])
    room = 2**20 - len(zipped("ml-latest", files))
    (small_disk / "ml-latest.zip").write_bytes(zipped("ml-latest", files, pad=os.urandom(room - 100_000)))
    with pytest.raises(
        OSError, match=f"cannot read or write in {small_disk}: .*No space left on device.*; free space there"
    ):
        utilities.load_ratings("ml-latest")
    assert visible(small_disk) == ["ml-latest.zip"]
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    assert utilities.load_ratings("ml-latest").height == len(ratings)


def test_ratings_given_twice_are_kept_once(folder):
    (folder / "ml-latest.zip").write_bytes(
        zipped("ml-latest", tables_of("ml-latest", [*RATINGS[:2], (1, 7, 4.0, 901), *RATINGS[2:]]))
    )
    with pytest.warns(UserWarning, match="1 earlier ratings of a movie"):
        ratings_df = utilities.load_ratings("ml-latest")
    assert ratings_df.filter(userId=1, movieId=7).rows() == [(1, 7, 4.0, 901)]
    assert ratings_df.equals(check_ratings(ratings_df, "again", utilities.rating_scale("ml-latest")))
    assert ratings_df.schema == pl.Schema(RATINGS_SCHEMA)
