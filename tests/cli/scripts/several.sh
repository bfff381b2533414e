# One bad input does not stop the others; the exit code says that there was one.
cp photo.png first.png
cp photo.png last.png
echo text >bad.png
bbcodec compress --method classic first.png bad.png missing.png last.png || echo "exit $?"
bbcodec test first.bb bad.png last.bb || echo "exit $?"
rm first.png
bbcodec decompress first.bb last.bb last.txt || echo "exit $?"
same photo.png first.png && echo same
ls -A
