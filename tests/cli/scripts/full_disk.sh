# A write that fails leaves nothing behind, and what was there before as it was.
head -c 6000 /dev/urandom >old.bb
cp old.bb copy.bb
(ulimit -f 2; bbcodec compress photo.png) || echo "exit $?"
(ulimit -f 2; bbcodec compress -f --rm -o old.bb photo.png) || echo "exit $?"
cmp old.bb copy.bb && echo untouched
bbcodec compress -c photo.png >/dev/full || echo "exit $?"
ls -A
