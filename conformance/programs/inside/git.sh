#!/bin/bash
# forms: short whole; seconds: 180
# git on repositories of its own: commits, branches, a merge, clones, log, gc, fsck, grep.
set -eu
exec 2>&1
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
export GIT_AUTHOR_DATE='2001-01-01T00:00:00Z' GIT_COMMITTER_DATE='2001-01-01T00:00:00Z'
git config --global init.defaultBranch main; git config --global advice.detachedHead false
mkdir -p /desk/one && cd /desk/one
git init -q
for i in $(seq 1 $((10 + SCALE))); do
    mkdir -p "d$((i % 10))"
    for f in 1 2 3; do seq "$i" $((i + 100 * f)) >"d$((i % 10))/$f-$i"; done
    git add -A && git commit -q -m "commit $i"
done
git checkout -q -b side HEAD~5; echo side >side; git add side; git commit -q -m side
git checkout -q main; git merge -q -m merge side
git log --oneline | md5sum; git log -p --stat | md5sum; git rev-parse HEAD; git shortlog -s; git diff HEAD~4 --stat | tail -n 1; git blame d1/1-1 | md5sum
git clone -q --no-hardlinks /desk/one /desk/two; git clone -q file:///desk/one /desk/three; git clone -q --bare --depth 3 file:///desk/one /desk/four
(cd /desk/two && git log --oneline | wc -l && git fsck --full && echo more >>d1/1-1 && git stash -q && git stash pop -q && git commit -q -a -m more && git push -q origin HEAD:pushed)
git gc -q --prune=now; git fsck --full; git count-objects -v | grep -v size; git branch -a; git show pushed --stat | tail -n 1
git tag v1; git archive v1 | tar t | md5sum; git bundle create -q /desk/b v1 && git bundle verify -q /desk/b; git worktree add -q /desk/tree side; git -C /desk/tree status --short --branch
git rebase -q side pushed 2>&1 | tail -n 1; git grep -c 77 v1 | md5sum; git bisect start HEAD v1~8 >/dev/null; git bisect run sh -c 'test ! -e side' | tail -n 1 | md5sum; git bisect reset
# Which deltas several threads find is theirs.
git repack -a -d -f -q --threads=1; git verify-pack -v .git/objects/pack/*.idx | wc -l
git repack -a -d -f -q --threads=2; git verify-pack -v .git/objects/pack/*.idx | grep -c '^[0-9a-f]\{40\} '; git clean -ndx; git status --short
