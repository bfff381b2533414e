# --rm deletes the source after success only.
cp photo.png keep.png
bbcodec compress -q --rm photo.png
ls
bbcodec decompress -q --rm photo.bb
ls
same photo.png keep.png && echo same
echo text >bad.png
bbcodec compress --rm bad.png || echo "exit $?"
: >photo.bb
bbcodec compress --rm photo.png || echo "exit $?"
bbcodec decompress --rm photo.bb || echo "exit $?"
bbcodec compress --rm -o /dev/null photo.png || echo "exit $?"
ls
bbcodec compress -q --rm --keep -f photo.png
ls
