CREATE TABLE image_schema (version INTEGER NOT NULL);
INSERT INTO image_schema VALUES (1);

-- One image for one platform in one form of snapshot.
CREATE TABLE image_records (
    id INTEGER PRIMARY KEY,
    manifest TEXT NOT NULL,
    platform TEXT NOT NULL,
    format TEXT NOT NULL,
    descriptor TEXT NOT NULL,
    config_descriptor TEXT NOT NULL,
    config TEXT NOT NULL,
    layers TEXT NOT NULL,
    chain TEXT NOT NULL,
    size INTEGER NOT NULL,
    created_at INTEGER,
    pulled_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    UNIQUE (manifest, platform, format)
);

CREATE TABLE image_names (
    name TEXT NOT NULL,
    platform TEXT NOT NULL,
    image INTEGER NOT NULL REFERENCES image_records (id) ON DELETE CASCADE,
    PRIMARY KEY (name, platform)
) WITHOUT ROWID;
CREATE INDEX image_names_image ON image_names (image);

-- Repositories that the image came from or went to, by which digest.
CREATE TABLE image_digests (
    image INTEGER NOT NULL REFERENCES image_records (id) ON DELETE CASCADE,
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (image, repository, digest)
) WITHOUT ROWID;

CREATE TABLE image_blobs (
    image INTEGER NOT NULL REFERENCES image_records (id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    PRIMARY KEY (image, digest)
) WITHOUT ROWID;

CREATE TABLE image_chains (
    image INTEGER NOT NULL REFERENCES image_records (id) ON DELETE CASCADE,
    chain TEXT NOT NULL,
    PRIMARY KEY (image, chain)
) WITHOUT ROWID;

-- What a committed snapshot holds.
CREATE TABLE image_snapshots (
    chain TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL,
    entries INTEGER NOT NULL
) WITHOUT ROWID;

-- What a process that is at work needs: alive as long as its file is locked.
CREATE TABLE image_leases (
    lease TEXT NOT NULL,
    kind TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (lease, kind, digest)
) WITHOUT ROWID;

-- Containers keep their image.
CREATE TABLE image_uses (
    container TEXT PRIMARY KEY,
    image INTEGER NOT NULL REFERENCES image_records (id)
) WITHOUT ROWID;
CREATE INDEX image_uses_image ON image_uses (image);
